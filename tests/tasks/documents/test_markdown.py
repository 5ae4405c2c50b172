"""Of Markdown nothing but prose changes: what another reader of CommonMark takes for code, links and HTML stays."""

import tempfile
from pathlib import Path

import pytest
from documents.translated import passages, translate
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

READER = MarkdownIt("commonmark").enable("table")
SAME = {"code_block", "fence", "code_inline", "html_block", "html_inline"}
LINES = [
    *(
        "",
        "",
        "",
        "Some words",
        "two `code x` three",
        "See [the page](a.md 'T') now",
        "[![i](b.svg)](c.md) x",
        "> said",
    ),
    *("- item", "+ plus", "1. one", "2. two", "10) ten", "-", "***", "---", "===", "## Sub `x` ##", "\ta", "  two in"),
    *("      six", "        eight", "```", "~~~ py", "````", "| a | b |", "|---|:-:|", "| c `d` | e |", "> ```"),
    *("open `code", "close` it", "open [link", "close](x.md) it", "a\\", "b  ", "- > q", "- - n", "\\[esc\\](y)"),
    *("\\`esc\\`", "https://a.b/c d", "<https://x.y>", "[see][Ref] or [Ref][]", "[Ref] too", "[Ref]: /url 'T'"),
    *("<pre>", "</pre>", "<!-- c", "-->", "a <b>c</b> z", "<a", "b='c'>d"),
]


def structure(text):
    """The tokens, with the content of what is to stay, and where links lead."""
    found, waiting = [], READER.parse(text)[::-1]
    while waiting:
        token = waiting.pop()
        waiting += (token.children or ())[::-1] if token.type == "inline" else ()
        if token.type not in {"text", "text_special"}:
            leads = {name: value for name, value in token.attrs.items() if name in {"href", "src"}}
            found.append((token.type, token.tag, token.content if token.type in SAME else "", leads))
    return found


def translated(text):
    with tempfile.TemporaryDirectory() as folder:
        return translate("a.md", text.encode(), str.swapcase, Path(folder)).decode()


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["", "", "", "> ", "- ", "  "]), st.sampled_from(LINES)), max_size=9))
def test_the_structure_stays(rows):
    text = "\n" + "\n".join(before + line for before, line in rows)  # no front matter, which the reader does not know
    assert structure(translated(text)) == structure(text)


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("1. Item\n\n        code\n\n   And so on.\n", ["Item", "And so on."]),
        ("- a\n  - b\n\n        code\n\n    of b\n", ["a", "b", "of b"]),
        ("> ```\n> code\n\nAfter it.\n", ["After it."]),
        ("- ```\n  code\n\nAfter it.\n", ["After it."]),
        ("Words\n\n    ```\n    code\n\nAfter it.\n", ["Words", "After it."]),
        ("---\ntitle: x\n...\nAfter it.\n", ["After it."]),
        ("---\ntitle: x\n---\n---\nAfter it.\n", ["After it."]),
        ("---\n\nAfter a rule.\n\n---\n", ["After a rule."]),
        ("---\nNever closed.\n", ["Never closed."]),
        ("<pre>\ncode\n\ncode\n</pre>\nAfter it.\n", ["After it."]),
        ("A `code that\ngoes on` there.\n", ["A ", " there."]),
        ("See [`code`](a.md), [a [b] c](b.md) and [Label][].\n", ["See ", "a [b] c", " and "]),
        ("A&nbsp;word [Label], [no label].\n\n[label]: c.md\n", ["A", "word ", ", [no label]."]),
        ("[Note]: that is no place.\n", ["[Note]: that is no place."]),
        ("[a]:\n  /b\n  'T'\n\nAfter it.\n", ["After it."]),
        ("[^1]: A note.\n\n    Its second part.\n", ["A note.", "Its second part."]),
    ],
)
def test_what_is_prose(text, prose):
    read = [one.text for one in passages("a.md", text.encode())[0] if not one.problem]
    assert read == prose


@pytest.mark.parametrize("written", ["a|b", r"a\|b", "|"])
def test_a_bar_of_a_translation_ends_no_cell(tmp_path, written):
    text = "| one | two |\n|---|---|\n| three | four |\n"
    found = translate("a.md", text.encode(), lambda _: written, tmp_path).decode()
    cells = [token.content for token in READER.parse(found) if token.type == "inline"]
    assert cells == [written.replace(r"\|", "|")] * 4


@pytest.mark.parametrize("line", ["[", "[a ", "<!--", "<?", "` `` ", "![[", "](", "\\", "| ", "- ", "> ", " ", "<a "])
def test_a_long_line_takes_no_longer_than_many_short_ones(line):
    """What tries again from every place would go on for hours."""
    for before in ("", "Words\n", "# "):
        text = before + line * 50_000 + "x"
        found, rest = passages("a.md", text.encode())
        assert rest.lines == text.count("\n") + 1
        assert sum(len(one.text) for one in found) <= len(text)
