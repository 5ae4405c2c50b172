"""What `--set` may replace of how an archive is transcribed, and the job that does it."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.shared.evaluation_plan import require_recognizer, search_plan
from flows.shared.overrides import override
from flows.shared.transcription_plan import TranscriptionPlan, prepare_transcription
from infra import model_registry, storage
from infra.errors import UserError
from tasks.archives.output_store import OutputStore
from tasks.archives.transcribe_parts import TranscriptionJob
from tasks.archives.transcript_tables import ARCHIVE_FORMATS
from tasks.archives.work_list import PartConfig
from tasks.bundles.model_bundle import import_model
from tasks.steps.pipeline_step import canonical


@dataclass(frozen=True, kw_only=True)
class ArchivePlan(TranscriptionPlan):
    """error_budget: the share of files that may fail; the others are done in any case. cost_per_hour: of a worker, for
    the estimate. parts: how much is committed at a time.
    """

    error_budget: float = 0.05
    cost_per_hour: float = 0.0
    parts: PartConfig = field(default_factory=PartConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.error_budget <= 1:
            raise ValueError("error_budget is a share, from 0 to 1")
        if self.cost_per_hour < 0:
            raise ValueError("cost_per_hour is not negative")


def plan_archive(
    model: str, output: str, formats: tuple[str, ...], settings: Sequence[str]
) -> tuple[ArchivePlan, TranscriptionJob, OutputStore]:
    """Raises UserError for another kind of model, and for a format or a setting that there is not."""
    if unknown := [how for how in formats if how not in ARCHIVE_FORMATS]:
        raise UserError(f"formats {unknown[0]!r}: write some of {', '.join(ARCHIVE_FORMATS)}")
    if not output.removeprefix("s3:").strip("/"):  # what a shell's empty variable makes
        raise UserError(f"output {output!r}: give a folder or s3:// prefix")
    bundle = require_recognizer(import_model(model_registry.resolve_model(model)))
    plan = override(ArchivePlan(beam=search_plan(bundle).beam), settings)
    ready, how = prepare_transcription(bundle, plan)
    decoding = hashlib.sha256(json.dumps(canonical(how)).encode()).hexdigest()
    job = TranscriptionJob(bundle=ready, config=how, formats=formats, decoding=decoding)
    identity = {"kind": "transcripts", "model": ready.digest, "decoding": decoding, "formats": list(formats)}
    text = json.loads(bundle.read("tokenizer.json")).get("text", {})
    provenance = {"bundle": bundle.digest, "config": canonical(how), "text": text}
    provenance |= model_registry.trace_bundle(bundle.digest)
    uri = output.rstrip("/") if storage.is_s3(output) else os.path.abspath(output)
    return plan, job, OutputStore(uri, identity, provenance)
