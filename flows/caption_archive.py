"""An archive of photos to captions, each photo exactly once, whatever dies on the way.

source --list--> parts --read, resize--> batches --caption--> assemble --commit--> tables, texts --> report

    python -m flows.caption_archive --source /data/photos --model captioning@champion --output captions
    python -m flows.caption_archive --source s3://photos/2026 --model captioning@champion --output s3://texts/2026 \\
        --formats parquet,jsonl,txt --workers 8 --dry-run

The source is a folder, a pattern, an s3:// prefix, a list (.txt, a path a line), a manifest (.csv, .tsv, .jsonl,
.parquet), or a tar or zip. Of each photo comes a row in the table `captions`, or, where it cannot be used, one with the
reason in the table `quarantine`; more of these than error_budget end the run with status 1, when all else is done.
Killed or interrupted, the same command goes on, and ends in the same bytes. Run again later it takes up what is new.
"""

from argparse import Namespace
from functools import partial
from typing import Any

from prefect import flow

from flows.command_line.archive_command import ArchiveCommand, run_archive_command
from flows.command_line.archive_parsers import CAPTION_FORMATS
from flows.shared.archive_plan import plan_caption_archive
from tasks.archives.archive_job import PHOTOS
from tasks.archives.estimate_archive import estimate_archive, no_header, text_estimate
from tasks.archives.photos.caption_parts import SUFFIXES
from tasks.archives.photos.report_photos import photo_summary, report_photos
from tasks.archives.plan_work import plan_work
from tasks.archives.run_parts import ArchiveRun


@flow(name="caption-archive", flow_run_name="{source} to {output}")
def caption_archive(
    source: str,
    output: str,
    model: str = "captioning@champion",
    formats: tuple[str, ...] = ("parquet",),
    workers: int = 1,
    settings: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Caption what is new in an archive.

    Args:
        source: a folder, pattern, s3:// prefix, list, manifest or archive file.
        output: a folder or s3:// prefix: empty, or of earlier runs with the same model and settings.
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle; with commas several that write together.
        formats: parquet, jsonl, and txt: a file a photo.
        workers: cores, or GPUs where there are any.
        settings: values to replace, such as beam.width=5, batch=64 or error_budget=0.1.
    """
    plan, job, store = plan_caption_archive(model, output, formats, settings)
    with store.hold():
        store.check()
        work = plan_work(store, source, SUFFIXES, plan.parts)
        estimate = estimate_archive(job, work, workers, plan.cost_per_hour, (PHOTOS, no_header))
        print(text_estimate(estimate, PHOTOS), flush=True)
        store.open()
        work.freeze(store)
        summary = ArchiveRun(job, store, workers, PHOTOS)(list(work.parts.values()), estimate["photos"])
        return report_photos(store, work, summary, plan.error_budget)


def estimate(given: Namespace) -> dict[str, Any]:
    """What the flow would begin with; nothing is written."""
    plan, job, store = plan_caption_archive(given.model, given.output, given.formats, given.settings)
    store.check()
    work = plan_work(store, given.source, SUFFIXES, plan.parts)
    return estimate_archive(job, work, given.workers, plan.cost_per_hour, (PHOTOS, no_header))


COMMAND = ArchiveCommand(
    flow=caption_archive,
    formats=CAPTION_FORMATS,
    settings={"cost_per_hour": "cost_per_hour"},
    estimate=estimate,
    text_estimate=partial(text_estimate, unit=PHOTOS),
    text_summary=photo_summary,
)


def main() -> None:
    run_archive_command("flows.caption_archive", COMMAND)


if __name__ == "__main__":
    main()
