"""An archive of recordings to transcripts, each file exactly once, whatever dies on the way.

source --list--> parts --read, cut, featurize--> batches --decode--> assemble --commit--> tables --> report

    python -m flows.transcribe_archive --source /data/calls --model asr@champion --output transcripts
    python -m flows.transcribe_archive --source s3://calls/2026 --model asr@champion --output s3://texts/2026 \\
        --formats parquet,srt --vad silero --workers 8 --dry-run

The source is a folder, a pattern, an s3:// prefix, a list (.txt, a path a line), a manifest (.csv, .tsv, .jsonl,
.parquet), or a tar or zip. Killed or interrupted, the same command goes on, and ends in the same bytes. Run again later
it takes up what is new. What cannot be read is in the table `quarantine` with its reason; more of it than error_budget
end the run with status 1, when all else is done.
"""

from argparse import Namespace
from typing import Any

from prefect import flow

from flows.command_line.archive_command import ArchiveCommand, run_archive_command
from flows.command_line.archive_parsers import ARCHIVE_FORMATS
from flows.shared.archive_plan import plan_archive
from flows.shared.audio_files import EXTENSIONS
from tasks.archives.estimate_archive import estimate_archive, text_estimate
from tasks.archives.plan_work import plan_work
from tasks.archives.report_archive import report_archive, text_summary
from tasks.archives.run_parts import ArchiveRun


@flow(name="transcribe-archive", flow_run_name="{source} to {output}")
def transcribe_archive(
    source: str,
    output: str,
    model: str = "asr@champion",
    formats: tuple[str, ...] = ("parquet",),
    workers: int = 1,
    settings: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Transcribe what is new in an archive.

    Args:
        source: a folder, pattern, s3:// prefix, list, manifest or archive file.
        output: a folder or s3:// prefix: empty, or of earlier runs with the same model and settings.
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle.
        formats: parquet, and of each file jsonl, srt, vtt, ctm, txt, json, textgrid, trn.
        workers: cores, or GPUs where there are any.
        settings: values to replace, such as vad.kind=silero, windows.max_seconds=30 or cost_per_hour=0.4.
    """
    plan, job, store = plan_archive(model, output, formats, settings)
    with store.hold():
        store.check()
        work = plan_work(store, source, EXTENSIONS, plan.parts)
        estimate = estimate_archive(job, work, workers, plan.cost_per_hour)
        print(text_estimate(estimate), flush=True)
        store.open()
        work.freeze(store)
        summary = ArchiveRun(job, store, workers)(list(work.parts.values()), estimate["seconds"])
        return report_archive(store, work, summary, plan.error_budget)


def estimate(given: Namespace) -> dict[str, Any]:
    """What the flow would begin with; nothing is written."""
    plan, job, store = plan_archive(given.model, given.output, given.formats, given.settings)
    store.check()
    work = plan_work(store, given.source, EXTENSIONS, plan.parts)
    return estimate_archive(job, work, given.workers, plan.cost_per_hour)


COMMAND = ArchiveCommand(
    flow=transcribe_archive,
    formats=ARCHIVE_FORMATS,
    settings={"vad": "vad.kind"} | {name: name for name in ("lm", "lexicon", "hotwords", "cost_per_hour")},
    estimate=estimate,
    text_estimate=text_estimate,
    text_summary=text_summary,
)


def main() -> None:
    run_archive_command("flows.transcribe_archive", COMMAND)


if __name__ == "__main__":
    main()
