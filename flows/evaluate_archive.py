"""An archive's transcripts scored against references of whole recordings.

    python -m flows.evaluate_archive --output transcripts --references /data/references.stm

A reference is known by its recording's name, with or without suffix, and with folders where several have that name.
Texts are aligned as wholes.
"""

import json

from flows.command_line.parsers import PARSERS
from infra.errors import one_line_errors


def main() -> None:
    given = PARSERS["flows.evaluate_archive"]().parse_args()
    with one_line_errors():
        from tasks.archives.evaluate_archive import evaluate_archive, text_scores
        from tasks.scoring.evaluate_asr import ScoringConfig

        found = evaluate_archive(given.output.rstrip("/"), given.references, ScoringConfig())
        print(text_scores(found))
        if given.json:
            print(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
