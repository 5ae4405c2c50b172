"""Mozilla Common Voice, every release since 2019: <language>/{train,dev,test,validated,...}.tsv and clips/.

https://commonvoice.mozilla.org/datasets. The tables are tab-separated without quoting: a quote is text, closed or not.
"""

import posixpath
from collections.abc import Iterator

from infra.problem import Problem
from tasks.corpus import Ingest
from tasks.source import Source
from tasks.utterance import Reject, Utterance

TABLES = ("validated", "other", "train", "dev", "test")
TAGS = ("age", "gender", "accent", "accents", "variant", "locale", "segment", "sentence_id", "sentence_domain")
VOTES = ("up_votes", "down_votes")


def utterances(source: Source, options: Ingest, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    root = language_root(source)
    if not options.own_splits:
        for split in splits:
            yield from _rows(source, root, f"{split}.tsv", split)
    elif posixpath.join(root, "validated.tsv") in source.files:
        yield from _rows(source, root, "validated.tsv", "")
    else:
        for table in ("test", "dev", "train"):
            yield from _rows(source, root, f"{table}.tsv", "")


def language_root(source: Source) -> str:
    """The folder of the tables: the corpus' own, or a language inside. Raises Problem for none or several."""
    wanted = {f"{table}.tsv" for table in TABLES}
    roots = sorted({posixpath.dirname(name) for name in source.files if posixpath.basename(name) in wanted})
    if not roots:
        raise Problem(f"corpus {source.uri}: no train.tsv, dev.tsv, test.tsv or validated.tsv in it")
    if len(roots) > 1:
        raise Problem(f"corpus {source.uri} holds {len(roots)} languages ({', '.join(roots[:5])}); name one of them")
    return roots[0]


def _rows(source: Source, root: str, table: str, split: str) -> Iterator[Utterance | Reject]:
    name = posixpath.join(root, table)
    if name not in source.files:
        return
    lines = source.lines(name)
    header = next(lines, "").split("\t")
    if header == [""]:
        return
    if missing := {"client_id", "path", "sentence"} - set(header):
        raise Problem(f"{source.uri}/{name}: no column {', '.join(sorted(missing))}; is it a Common Voice table?")
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) < len(header) - len(TAGS) or len(fields) > len(header) or len(fields) < 3:
            detail = f"line {number}: {len(fields)} fields of {len(header)}"
            yield Reject(split or "train", f"{table}:{number}", "read", "malformed row", detail)
            continue
        row = dict(zip(header, fields, strict=False))
        yield Utterance(
            split=split,
            clips=(_clip(source, root, row["path"]),),
            text=_unquoted(row["sentence"]),
            speaker=row["client_id"],
            tags={k: row[k] for k in (*TAGS, *VOTES) if row.get(k)},
        )


def _clip(source: Source, root: str, path: str) -> str:
    """The clip's file: the first releases wrote the path without .mp3."""
    name = posixpath.join(root, "clips", path)
    return source.first(name, f"{name}.mp3", f"{name}.wav")


def _unquoted(sentence: str) -> str:
    """One release was written as CSV: a field in quotes, those inside doubled. Any other quote stays."""
    inner = sentence[1:-1]
    quoted = len(sentence) >= 2 and sentence[0] == sentence[-1] == '"'
    return inner.replace('""', '"') if quoted and '"' not in inner.replace('""', "") else sentence
