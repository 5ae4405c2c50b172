"""The kinds of corpora, and what each may be used for."""

from flows.command_line.source_help import corpus_kinds
from infra.errors import end_unread

USES = {"utterances": "recognizers", "labeled": "classifiers", "documents": "language models", "pairs": "translators"}


def corpora_text() -> str:
    kinds = corpus_kinds(*USES)
    uses = {kind: ", ".join(use for verb, use in USES.items() if kind in corpus_kinds(verb)) for kind in kinds}
    lines = [f"  {kind:<14}{line}\n{'':<16}for {uses[kind]}" for kind, line in kinds.items()]
    return "\n".join(
        [
            "--corpus KIND:URI; the URI is a folder, an archive as it was downloaded, or s3://bucket/prefix",
            "",
            *lines,
            "",
            "scriptorium ingest --corpus KIND:URI    reads one and says what is in it",
        ]
    )


if __name__ == "__main__":
    with end_unread():
        print(corpora_text())
