"use strict";
(() => {
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const collator = new Intl.Collator(undefined, { numeric: true });
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
  const missing = (value) => value === null || value === "" || Number.isNaN(value);
  /* What is not known comes last, whichever way the rest is sorted. */
  const ordered = (a, b, sign) => missing(a) - missing(b) || (missing(a) ? 0 : sign * compare(a, b));

  /* Every table of data: a box of its own to scroll in, and a button in each heading that sorts by its column. */
  const valueIn = (row, column) => {
    const cell = row.cells[column];
    if (!cell) return "";
    const text = (cell.dataset.sort ?? cell.textContent).trim();
    const number = Number(text.replace(/[\s,%]/g, ""));
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const sortTable = (table, column, ascending) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueIn(row, column), row]);
    rows.sort((a, b) => ordered(a[0], b[0], ascending ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
    showOrder(table, column, ascending);
  };
  const showOrder = (table, column, ascending) => {
    [...table.tHead.rows[0].cells].forEach((heading, i) => {
      if (i === column) heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
  };
  const addButtons = (table, onSort) => {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (!heading.textContent.trim() || heading.dataset.fixed !== undefined) return;
      const button = make("button", { type: "button" }, ...heading.childNodes);
      button.addEventListener("click", () => {
        const order = heading.getAttribute("aria-sort");
        const falling = heading.classList.contains("number");
        onSort(column, order ? order === "descending" : !falling);
      });
      heading.append(button);
    });
  };
  /* A table that is longer than a screen has a field that leaves the rows with all of its words. */
  const SEARCHED_ROWS = 25;
  const addSearch = (table) => {
    const rows = [...table.tBodies[0].rows].map((row) => [row.textContent.toLowerCase(), row]);
    const field = make("input", { type: "search", placeholder: "Search the table" });
    field.setAttribute("aria-label", `Search the table: ${label(table)}`);
    field.addEventListener("input", () => {
      const sought = field.value.trim().toLowerCase().split(/\s+/);
      for (const [text, row] of rows) row.hidden = !sought.every((part) => text.includes(part));
    });
    table.parentElement.before(make("div", { className: "controls" }, field));
  };
  const label = (element) => element.closest("section")?.querySelector("h2")?.textContent ?? "table";
  for (const table of document.querySelectorAll("table.data")) {
    if (!table.parentElement.classList.contains("scroll")) {
      const box = make("div", { className: "scroll", tabIndex: 0 });
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", label(table));
      table.replaceWith(box);
      box.append(table);
    }
    if (table.tBodies[0]?.rows.length > SEARCHED_ROWS) addSearch(table);
    if (table.tHead && table.tBodies[0]?.rows.length > 1)
      addButtons(table, (column, ascending) => sortTable(table, column, ascending));
  }

  /* One sound at a time. */
  document.addEventListener("play", (event) => {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }, true);

  /* The utterances of a split: rows as arrays, of which a page is drawn at a time. */
  const PAGE_ROWS = 15;
  const OPERATIONS = { S: "substitution", D: "deletion", I: "insertion" };
  const FRAMED = !["file:", "http:", "https:"].includes(location.protocol); /* files beside the page are out of reach */

  const wordsIn = (text) => (text === "" ? [] : text.split(" "));
  /* [operation, reference word, word heard], from "12=1S2D". */
  const align = (row) => {
    const reference = wordsIn(row.reference), heard = wordsIn(row.text), pairs = [];
    let i = 0, j = 0;
    for (const [, count, operation] of row.edits.matchAll(/(\d+)([=SDI])/g))
      for (let n = Number(count); n; n--)
        pairs.push([operation, operation === "I" ? "" : reference[i++], operation === "D" ? "" : heard[j++]]);
    return pairs;
  };
  const readRows = (data) => data.key.map((key, i) => {
    const row = Object.fromEntries(Object.entries(data).map(([name, values]) => [name, values[i]]));
    const counts = { S: 0, D: 0, I: 0 };
    for (const [, count, operation] of row.edits.matchAll(/(\d+)([SDI])/g)) counts[operation] += Number(count);
    const words = wordsIn(row.reference).length, errors = counts.S + counts.D + counts.I;
    return Object.assign(row, {
      counts, words, errors,
      wer: words ? errors / words : errors ? Infinity : 0,
      rate: row.seconds > 0 ? words / row.seconds : null,
      sought: [row.reference, row.text, key, row.speaker].join("\n").toLowerCase(),
    });
  });
  const number = (digits) => (value) => (value === null ? "" : value.toFixed(digits));
  const COLUMNS = [
    { name: "errors", title: "errors", show: (row) => String(row.errors) },
    { name: "wer", title: "WER %", broad: true, show: (row) => (row.wer === Infinity ? "\u221e" : (100 * row.wer).toFixed(1)) },
    { name: "reference", title: "spoken, heard", text: true },
    { name: "seconds", title: "seconds", show: (row) => number(2)(row.seconds) },
    { name: "rate", title: "words/s", broad: true, show: (row) => number(1)(row.rate) },
    { name: "confidence", title: "confidence", broad: true, show: (row) => number(2)(row.confidence) },
    { name: "score", title: "score", broad: true, show: (row) => number(2)(row.score) },
    { name: "speaker", title: "speaker", text: true, broad: true, show: (row) => row.speaker },
  ];

  const showHeard = (row) => align(row).flatMap(([operation, reference, heard], i) => {
    const shown = operation === "D" ? reference : heard;
    const word = operation === "=" ? shown : make("span", { className: OPERATIONS[operation] }, shown);
    return i ? [" ", word] : [word];
  });
  const showAligned = (row) => {
    const box = make("div", { className: "aligned", dir: "auto" });
    for (const [operation, reference, heard] of align(row)) {
      const kind = OPERATIONS[operation] ?? "";
      const above = make("span", { className: operation === "D" || operation === "S" ? kind : "" }, reference || "\u00b7");
      const below = make("span", { className: operation === "I" || operation === "S" ? kind : "" }, heard || "\u00b7");
      const mark = make("b", { title: kind }, operation === "=" ? "" : operation);
      box.append(make("span", {}, above, below, mark));
    }
    return box;
  };
  const showSound = (row, sounds) => {
    const place = `audio/${row.key}.mp3`;
    const hint = () => make("p", { className: "note" }, "This sound is the file ", make("code", {}, place),
      " beside report.html: open the page from the report's own folder to hear it.");
    if (!row.sound) return make("p", { className: "note" }, "There is no sound of this utterance in the report.");
    if (row.sound === 1 && FRAMED) return hint();
    const player = make("audio", { controls: true, preload: "none" });
    player.setAttribute("aria-label", `Utterance ${row.key}`);
    player.src = row.sound === 2 ? `data:audio/mpeg;base64,${sounds[row.key]}`
      : `audio/${encodeURIComponent(row.key)}.mp3`;
    player.addEventListener("error", () => player.replaceWith(hint()), { once: true });
    return player;
  };
  const showDetail = (row, sounds) => {
    const about = make("dl", { className: "about" });
    const told = { utterance: row.key, speaker: row.speaker || "unknown", seconds: row.seconds.toFixed(2),
      substitutions: row.counts.S, deletions: row.counts.D, insertions: row.counts.I, words: row.words,
      confidence: number(3)(row.confidence), score: number(3)(row.score) };
    for (const [name, value] of Object.entries(told))
      if (value !== "") about.append(make("div", {}, make("dt", {}, name), make("dd", {}, String(value))));
    const cell = make("td", { className: "detail", colSpan: COLUMNS.length + 1 });
    cell.append(showAligned(row), showSound(row, sounds), about);
    return make("tr", {}, cell);
  };

  class UtteranceTable {
    constructor(root) {
      const data = JSON.parse(root.querySelector("script").textContent);
      this.sounds = data.sounds;
      this.rows = this.found = readRows(data.rows);
      this.table = root.querySelector("table");
      this.search = root.querySelector("input[type=search]");
      this.wrong = root.querySelector("input[type=checkbox]");
      this.select = root.querySelector("select");
      this.status = root.querySelector("[role=status]");
      [this.back, this.on] = root.querySelectorAll(".pages button");
      this.place = root.querySelector(".pages span");
      this.page = 0;
      this.addHeadings();
      this.search.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.filter(), 80); });
      this.wrong.addEventListener("change", () => this.filter());
      this.select.addEventListener("change", () => {
        const column = COLUMNS[Number(this.select.value)];
        this.sort(Number(this.select.value), Boolean(column.text));
      });
      this.back.addEventListener("click", () => this.turn(-1));
      this.on.addEventListener("click", () => this.turn(1));
      this.filter();
    }
    addHeadings() {
      const cells = COLUMNS.map((column, i) => {
        const name = `${column.text ? "" : "number"} ${column.broad ? "broad" : ""}`.trim();
        this.select.append(make("option", { value: i }, column.title));
        const heading = make("th", { className: name, scope: "col" }, column.title);
        return heading;
      });
      const first = make("th", { scope: "col" }, make("span", { className: "hidden" }, "open, play"));
      first.dataset.fixed = "";
      this.table.tHead.append(make("tr", {}, first, ...cells));
      addButtons(this.table, (column, ascending) => this.sort(column - 1, ascending));
    }
    filter() {
      const sought = this.search.value.trim().toLowerCase().split(/\s+/);
      this.found = this.rows.filter((row) =>
        (!this.wrong.checked || row.errors) && sought.every((part) => row.sought.includes(part)));
      this.status.textContent =
        `${this.found.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} utterances`;
      this.page = 0;
      this.draw();
    }
    sort(column, ascending) {
      const name = COLUMNS[column].name;
      this.rows.sort((a, b) => ordered(a[name], b[name], ascending ? 1 : -1));
      showOrder(this.table, column + 1, ascending);
      this.select.value = String(column);
      this.filter();
    }
    turn(pages) {
      this.page += pages;
      this.draw();
    }
    draw() {
      const from = this.page * PAGE_ROWS, to = Math.min(from + PAGE_ROWS, this.found.length);
      this.table.tBodies[0].replaceChildren(...this.found.slice(from, to).map((row) => this.drawRow(row)));
      this.place.textContent = to ? `${from + 1} to ${to} of ${this.found.length}` : "none";
      this.back.disabled = from === 0;
      this.on.disabled = to >= this.found.length;
    }
    drawRow(row) {
      const open = make("button", { type: "button" }, "+");
      open.setAttribute("aria-expanded", "false");
      open.setAttribute("aria-label", `Open utterance ${row.key}`);
      const buttons = make("td", { className: "buttons" }, open);
      const line = make("tr", { className: "row" }, buttons);
      let detail = null;
      const toggle = () => {
        if (detail) detail.remove();
        detail = detail ? null : showDetail(row, this.sounds);
        if (detail) line.after(detail);
        open.textContent = detail ? "\u2212" : "+";
        open.setAttribute("aria-expanded", String(Boolean(detail)));
      };
      if (row.sound === 2 || (row.sound === 1 && !FRAMED)) {
        const play = make("button", { type: "button" }, "\u25b6\ufe0e");
        play.setAttribute("aria-label", `Play utterance ${row.key}`);
        play.addEventListener("click", () => {
          if (!detail) toggle();
          const player = detail.querySelector("audio");
          player?.play().catch(() => {}); /* its error event, or the user's pause, says it */
        });
        buttons.append(" ", play);
      }
      line.addEventListener("click", (event) => {
        const chosen = event.target.closest("button");
        if (chosen === open || (!chosen && !String(getSelection()))) toggle();
      });
      for (const column of COLUMNS) {
        const cell = make("td", { className: `${column.text ? "" : "number"} ${column.broad ? "broad" : ""}`.trim() });
        if (column.name === "speaker") cell.classList.add("speaker");
        if (column.name === "reference") {
          cell.className = "text";
          cell.append(make("div", { dir: "auto" }, row.reference), make("div", { dir: "auto" }, ...showHeard(row)));
        } else cell.append(column.show(row));
        line.append(cell);
      }
      return line;
    }
  }
  for (const root of document.querySelectorAll(".utterance-table")) new UtteranceTable(root);
})();
