"""A report of 1,000 utterances in a real browser: it loads, sorts, searches, aligns and plays, and logs no error."""

import io
import re
import shutil
import time

import numpy as np
import pytest
import soundfile
from hostile_html import EVIL
from markupsafe import Markup

from infra.artifact_store import new_draft
from tasks.ingest import tar
from tasks.ingest.shard_format import INDEX, Sample, write_sample
from tasks.reports.html_page import html_figure, html_section, html_table, put_page
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.plots.plot_utterance import UtterancePanels, plot_utterance
from tasks.reports.utterance_table import SoundLimits, choose_sounds, rank_utterances, utterance_table, write_sounds
from tasks.steps.parquet_io import to_parquet, to_table

playwright = pytest.importorskip("playwright.sync_api", reason="playwright, of the extra dev, drives the browser")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed: apt-get install chromium")

ATTACKED = "part#0000%20ä"
UTTERANCES, INLINE, FILES = 1000, 20, 10
WORDS = [f"word{i}" for i in range(300)]
LIMITS = SoundLimits(inline=INLINE, files=FILES)
VIEWS = [(width, scheme) for width in (1400, 400) for scheme in ("light", "dark")]


def spoken():
    """Rows of TRANSCRIPTS, the first of them an attack."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(UTTERANCES):
        said = [WORDS[j] for j in random.integers(0, len(WORDS), random.integers(4, 25))]
        heard = [w for w in said if random.random() > 0.03]
        heard = [WORDS[random.integers(len(WORDS))] if random.random() < 0.04 else w for w in heard]
        row = {"key": f"part#{i:04}%20ä", "speaker": f"speaker {i % 17}", "text": " ".join(heard)}
        row |= {"reference": " ".join(said), "seconds": 0.4 * len(said), "score": -float(i), "confidence": i / 1000}
        rows.append(row)
    rows[0] |= {"reference": f"unmistakable </script> {EVIL}", "text": "heard", "confidence": float("nan")}
    return rows


def sounds_of(rows, folder):
    """Shards with a clip for each row, those of the first ones as long as they say."""
    index = []
    with (folder / "a.tar").open("wb") as file, tar.SampleWriter(file) as shard:
        for i, row in enumerate(rows):
            out, seconds = io.BytesIO(), row["seconds"] if i < INLINE else 0.3
            wave = 0.3 * np.sin(np.arange(int(16000 * seconds)) * (0.1 + 0.001 * i))
            soundfile.write(out, wave, 16000, format="WAV", subtype="PCM_16")
            told = {"key": row["key"], "extension": "wav", "text": "", "speaker": "", "split": "test", "source": ""}
            told |= {"seconds": seconds, "sample_rate": 16000, "sha256": ""}
            offset, size = write_sample(shard, Sample(**told, data=out.getvalue(), tags={}))
            index.append(told | {"shard": "a.tar", "offset": offset, "size": size, "tags": "{}", "flag": ""})
    with new_draft("shards") as out:
        out.put("a.tar", folder / "a.tar")
        out.put("index.parquet", to_parquet(to_table(index, INDEX)))
    return out.result()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The ranked utterances, and the folder of their report."""
    folder = tmp_path_factory.mktemp("report")
    random = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(folder / "artifacts"))
        ranked = rank_utterances(spoken())
        sounds = choose_sounds(ranked, sounds_of(ranked, folder), LIMITS)
        history = [{"epoch": e, "loss": 2 / e, "dev_loss": 3 / e, "dev_wer": 1 / e, "dev_cer": 0.5 / e} for e in (1, 2)]
        token = {"text": "漢", "begin_seconds": 1.0, "end_seconds": 2.0}
        drawn = plot_utterance(UtterancePanels(random.random((900, 80)), 9.0, 0.04, [token], random.random((225, 50))))
        wide = html_table([f"column {i}" for i in range(30)], [["b", *["2"] * 29], ["a", *["10"] * 29]])
        settings = html_table(("setting", "value"), [[f"fit.setting_{i}", str(i)] for i in range(150)])
        body = [
            html_section("Curves", plot_learning_curves(history, "nats a token", "dev error rates")),
            html_section("Wide", wide),
            html_section("Long", Markup("<details><summary>settings</summary>{}</details>").format(settings)),
            html_section("Beside each other", Markup('<div class="figures"><div>{}</div></div>').format(wide)),
            utterance_table("test", ranked, sounds),
            html_section("Utterances", *[html_figure(drawn, "features and posteriors")] * 10),
        ]
        made = put_page("A report", body, {}, write_sounds([sounds]))
        assert len(made.names(".mp3")) == FILES
        for name in made.names():
            (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made.file(name), folder / "out" / name)
    return ranked, folder / "out"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=BROWSER, args=["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, report, request):
    """The report, opened from its folder at a width and in a color scheme. Fails where anything is complained of, or
    loaded from elsewhere.
    """
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints, requests = [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: requests.append(asked.url))
    opened.set_default_timeout(5000)
    opened.goto((report[1] / "report.html").as_uri())
    yield opened
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    opened.close()


def cells(page, column):
    """The texts of a column of the drawn page of the table of utterances."""
    return page.locator(f"table.utterances tr.row td:nth-child({column})").all_inner_texts()


def is_playing(frame):
    """Once a player plays, which sound it is of."""
    playing = "[...document.querySelectorAll('audio')].find(a => !a.paused && a.currentTime > 0.05)?.ariaLabel"
    for _ in range(500):  # the page allows no eval, which playwright's own waiting needs
        if name := frame.evaluate(playing):
            return name
        time.sleep(0.02)
    raise AssertionError("nothing plays")


def search(shown, text, key):
    """What leaves the utterance with this key."""
    shown.get_by_role("searchbox").fill(text)
    playwright.expect(shown.get_by_role("button", name=f"Open utterance {key}")).to_be_visible()
    playwright.expect(shown.locator("tr.row")).to_have_count(1)


def sort_by(page, name, ascending):
    if page.viewport_size["width"] > 1000:
        heading = page.get_by_role("button", name=name, exact=True)
        heading.click()
        if (page.locator("table.utterances th[aria-sort]").get_attribute("aria-sort") == "ascending") != ascending:
            heading.click()
    else:
        page.locator(".controls select").select_option(label=name)


@pytest.mark.parametrize("page", VIEWS, indirect=True)
def test_it_fits_and_takes_the_scheme_s_colors(page, report, request):
    size = (report[1] / "report.html").stat().st_size
    load = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"{UTTERANCES} utterances: {size / 1e6:.2f} MB, loaded in {load:.0f} ms")
    assert size < 5_000_000
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("table.utterances td.buttons button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "with an utterance opened"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert light == (request.node.callspec.params["page"][1] == "light")
    assert page.evaluate("getComputedStyle(document.querySelector('svg text')).fill") == ink
    unnamed = (
        "[...document.querySelectorAll('figure, audio, input, select')].filter(e => !e.ariaLabel && !e.labels?.length)"
    )
    assert page.evaluate(f"{unnamed}.length") == 0
    links = page.locator("nav a").evaluate_all(
        "all => all.map(a => document.querySelector(a.getAttribute('href')) !== null)"
    )
    assert links == [True] * 6


@pytest.mark.parametrize("page", [(1400, "light")], indirect=True)
def test_a_long_table_is_searched_and_a_short_one_is_not(page):
    page.get_by_text("settings", exact=True).click()
    field = page.get_by_role("searchbox", name="Search the table: Long")
    field.fill("SETTING_14 fit")
    rows = page.locator("#long tbody tr:visible td:first-child")
    assert rows.all_inner_texts() == ["fit.setting_14", *(f"fit.setting_{i}" for i in range(140, 150))]
    field.fill("")
    playwright.expect(rows).to_have_count(150)
    assert page.locator("#wide input").count() == 0


@pytest.mark.parametrize("page", [(1400, "light"), (400, "dark")], indirect=True)
def test_it_sorts_and_searches(page, report):
    ranked, _ = report
    assert page.locator("[role=status]").inner_text() == "1,000 of 1,000 utterances"
    errors = sorted((row["errors"] for row in ranked), reverse=True)
    assert cells(page, 2) == [str(n) for n in errors[:15]]
    page.get_by_role("button", name="Next").click()
    assert cells(page, 2) == [str(n) for n in errors[15:30]]
    sort_by(page, "seconds", ascending=False)
    longest = sorted((row["seconds"] for row in ranked), reverse=True)
    assert cells(page, 5) == [f"{seconds:.2f}" for seconds in longest[:15]]
    page.get_by_label("only those with errors").check()
    wrong = sum(row["errors"] > 0 for row in ranked)
    assert page.locator("[role=status]").inner_text() == f"{wrong:,} of 1,000 utterances"
    page.get_by_role("searchbox").fill("SPEAKER 3 word12")
    texts = [" ".join(r[name] for name in ("reference", "text", "key", "speaker")) for r in ranked if r["errors"]]
    found = [text for text in texts if all(part in text for part in ("speaker", "3", "word12"))]
    playwright.expect(page.locator("[role=status]")).to_have_text(f"{len(found)} of 1,000 utterances")
    page.get_by_label("only those with errors").uncheck()
    search(page, "unmistakable", ATTACKED)
    text = page.locator("tr.row td.text div").first.inner_text()
    assert text.split() == f"unmistakable </script> {EVIL}".split(), "shown as it is"


@pytest.mark.parametrize("page", [(1400, "light")], indirect=True)
def test_what_is_not_known_comes_last(page):
    for ascending in (True, False):
        sort_by(page, "confidence", ascending)
        assert "" not in cells(page, 7)


@pytest.mark.parametrize("page", [(1400, "dark"), (400, "light")], indirect=True)
def test_it_aligns_and_plays(page, report):
    ranked, _ = report
    for i in (1, INLINE):  # of the page, and of a file beside it
        row = ranked[i]
        search(page, row["key"], row["key"])
        page.get_by_role("button", name=f"Open utterance {row['key']}").click()
        aligned = page.locator(".aligned > span").evaluate_all(
            "all => all.map(e => [...e.children].map(c => c.textContent))"
        )
        assert [word for word, _, _ in aligned if word != "·"] == row["reference"].split()
        assert [word for _, word, _ in aligned if word != "·"] == row["text"].split()
        marks = [mark or "=" for _, _, mark in aligned]
        assert marks == [op for n, op in re.findall(r"(\d+)([=SDI])", row["edits"]) for _ in range(int(n))]
        assert sum(mark != "=" for mark in marks) == row["errors"] > 0
        page.get_by_role("button", name=f"Play utterance {row['key']}").click()
        assert is_playing(page) == f"Utterance {row['key']}"
    search(page, ranked[-1]["key"], ranked[-1]["key"])
    page.locator("tr.row button").first.press("Enter")
    assert "no sound" in page.locator("td.detail").inner_text()


@pytest.mark.parametrize("page", [(1400, "light")], indirect=True)
def test_tables_of_data_sort_and_scroll_in_a_box_of_their_own(page):
    section = page.locator("#wide")
    first = section.locator("tbody td:first-child")
    assert first.all_inner_texts() == ["b", "a"]
    section.get_by_role("button", name="column 0", exact=True).click()
    assert first.all_inner_texts() == ["a", "b"]
    section.get_by_role("button", name="column 3", exact=True).click()
    assert first.all_inner_texts() == ["a", "b"], "10 is more than 2"
    section.get_by_role("button", name="column 3", exact=True).click()
    assert first.all_inner_texts() == ["b", "a"]
    assert section.locator(".scroll").evaluate("box => box.scrollWidth > box.clientWidth")


def test_in_a_sandbox_a_sound_beside_the_page_is_a_hint(browser, report):
    """As MLflow's server shows an artifact: a frame without an origin, whose page is not where its files are."""
    ranked, folder = report
    host, complaints = browser.new_page(), []
    host.on("console", lambda message: complaints.append(message.text))
    host.route("http://mlflow.test/", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>"))
    host.set_default_timeout(5000)
    host.goto("http://mlflow.test/")
    host.evaluate(
        """text => {
            const frame = document.createElement("iframe");
            frame.sandbox = "allow-scripts";
            frame.src = URL.createObjectURL(new Blob([text], { type: "text/html" }));
            document.body.append(frame);
        }""",
        (folder / "report.html").read_text(encoding="utf-8"),
    )
    shown = host.frame_locator("iframe")
    search(shown, ranked[INLINE]["key"], ranked[INLINE]["key"])
    shown.locator("tr.row button").click()
    assert f"audio/{ranked[INLINE]['key']}.mp3" in shown.locator("td.detail .note").inner_text()
    search(shown, ranked[0]["key"], ranked[0]["key"])
    play = shown.get_by_role("button", name=f"Play utterance {ranked[0]['key']}")
    play.click()
    assert is_playing(host.frames[1]) == f"Utterance {ranked[0]['key']}"
    assert complaints == []
    host.close()
