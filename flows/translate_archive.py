"""An archive of documents to translations, each line exactly once, whatever dies on the way.

source --list, cut--> parts --read, split--> batches --translate--> assemble --commit--> tables, documents --> report

    python -m flows.translate_archive --source /data/books --model translation@champion --output translated
    python -m flows.translate_archive --source s3://texts/2026 --model translation@champion --output s3://texts/de \\
        --source-language en --target-language de --set split_sentences=lines --workers 8 --dry-run

The source is a document or a folder, a pattern, an s3:// prefix, a list (.list, a path a line), a manifest (.csv, .tsv,
.json), or a tar or zip of documents: .txt, .jsonl, .tmx, .md, each perhaps with .gz, and .parquet. Of each comes the
same with its translation, and a row a sentence in the table `translations`. Killed or interrupted, the same command
goes on, and ends in the same bytes. Run again later it takes up what is new. What cannot be translated stays as it is
and is in the table `quarantine` with its reason; more of it than error_budget end the run with status 1, when all else
is done.
"""

from argparse import Namespace
from functools import partial
from typing import Any

from prefect import flow

from flows.command_line.archive_command import ArchiveCommand, run_archive_command
from flows.command_line.archive_parsers import TRANSLATION_FORMATS
from flows.shared.archive_plan import check_documents, plan_translation_archive
from tasks.archives.archive_job import TEXT
from tasks.archives.estimate_archive import estimate_archive, no_header, text_estimate
from tasks.archives.plan_work import plan_work
from tasks.archives.run_parts import ArchiveRun
from tasks.archives.text.cut_documents import CutDocument
from tasks.archives.text.report_translations import report_translations, text_summary
from tasks.documents.formats import SUFFIXES


@flow(name="translate-archive", flow_run_name="{source} to {output}")
def translate_archive(
    source: str,
    output: str,
    model: str = "translation@champion",
    formats: tuple[str, ...] = TRANSLATION_FORMATS,
    workers: int = 1,
    settings: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Translate what is new in an archive.

    Args:
        source: a document, folder, pattern, s3:// prefix, list, manifest or archive file.
        output: a folder or s3:// prefix: empty, or of earlier runs with the same model and settings.
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle; with commas several that write together.
        formats: parquet, and document: each file again in its own format.
        workers: cores, or GPUs where there are any.
        settings: values to replace, such as split_sentences=lines, target_language=de or beam.width=5.
    """
    plan, job, store = plan_translation_archive(model, output, formats, settings)
    with store.hold():
        store.check()
        work = plan_work(store, source, SUFFIXES, plan.parts, CutDocument(plan.documents, plan.parts))
        check_documents(plan, work)
        estimate = estimate_archive(job, work, workers, plan.cost_per_hour, (TEXT, no_header))
        print(text_estimate(estimate, TEXT), flush=True)
        store.open()
        work.freeze(store)
        summary = ArchiveRun(job, store, workers, TEXT)(list(work.parts.values()), estimate["tokens"])
        return report_translations(store, work, summary, plan.documents, plan.error_budget)


def estimate(given: Namespace) -> dict[str, Any]:
    """What the flow would begin with; nothing is written."""
    plan, job, store = plan_translation_archive(given.model, given.output, given.formats, given.settings)
    store.check()
    work = plan_work(store, given.source, SUFFIXES, plan.parts, CutDocument(plan.documents, plan.parts))
    check_documents(plan, work)
    return estimate_archive(job, work, given.workers, plan.cost_per_hour, (TEXT, no_header))


COMMAND = ArchiveCommand(
    flow=translate_archive,
    formats=TRANSLATION_FORMATS,
    settings={name: name for name in ("source_language", "target_language", "cost_per_hour")},
    estimate=estimate,
    text_estimate=partial(text_estimate, unit=TEXT),
    text_summary=text_summary,
)


def main() -> None:
    run_archive_command("flows.translate_archive", COMMAND)


if __name__ == "__main__":
    main()
