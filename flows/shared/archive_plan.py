"""What `--set` may replace of how an archive is worked on, and the job that does it: recordings, documents, photos."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flows.shared.evaluation_plan import add_language_model, require_recognizer, search_plan
from flows.shared.overrides import override
from flows.shared.transcription_plan import TranscriptionPlan, prepare_transcription
from flows.shared.translation_setup import require_translator
from infra import model_registry, storage
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.archives.output_store import OutputStore
from tasks.archives.photos.caption_parts import CaptionJob
from tasks.archives.photos.caption_tables import CAPTION_FORMATS
from tasks.archives.plan_work import Work
from tasks.archives.text.cut_documents import TextPartConfig
from tasks.archives.text.translate_parts import TRANSLATION_FORMATS, TranslationJob
from tasks.archives.transcribe_parts import TranscriptionJob
from tasks.archives.transcript_tables import ARCHIVE_FORMATS
from tasks.archives.work_list import PartConfig
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.bundle_files import TRAINING, read_beam, read_members, read_object
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import check_golden_outputs
from tasks.decoding.caption_photos import require_captioner
from tasks.decoding.translate import TranslationConfig
from tasks.documents.document import DocumentConfig, Split
from tasks.documents.formats import suffix_of
from tasks.documents.tmx import same
from tasks.images.photo import PIXELS
from tasks.steps.pipeline_step import canonical

LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")  # a BCP 47 tag


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
    _check_output(output, formats, ARCHIVE_FORMATS)
    bundle = require_recognizer(find_model(model), model)
    plan = override(ArchivePlan(beam=search_plan(bundle).beam), settings)
    ready, how = prepare_transcription(bundle, plan)
    decoding = hashlib.sha256(json.dumps(canonical(how)).encode()).hexdigest()
    job = TranscriptionJob(bundle=ready, config=how, formats=formats, decoding=decoding)
    identity = {"kind": "transcripts", "model": ready.digest, "decoding": decoding, "formats": list(formats)}
    text = json.loads(bundle.read("tokenizer.json")).get("text", {})
    provenance = _provenance(bundle) | {"config": canonical(how), "text": text}
    return plan, job, OutputStore(_output_uri(output), identity, provenance)


@dataclass(frozen=True, kw_only=True)
class TranslationArchivePlan:
    """beam, lm, batching, max_source_tokens: of the search; longer sentences are cut. split_sentences, text_field,
    translation_field: as `DocumentConfig` has them. source_language, target_language: by default those that the model
    was trained with. length_ratio: beyond which a translation is flagged. error_budget: the share of lines, or files,
    that may fail; the others are done in any case. cost_per_hour: of a worker, for the estimate. parts: how much is
    committed at a time.
    """

    beam: Beam
    lm: str = ""
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    max_source_tokens: int = 1024
    split_sentences: Split = "sentences"
    text_field: str = ""
    translation_field: str = "translation"
    source_language: str = ""
    target_language: str = ""
    length_ratio: float = 3.0
    error_budget: float = 0.05
    cost_per_hour: float = 0.0
    parts: TextPartConfig = field(default_factory=TextPartConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.error_budget <= 1:
            raise ValueError("error_budget is a share, from 0 to 1")
        if self.cost_per_hour < 0 or self.length_ratio < 1 or self.max_source_tokens < 1:
            raise ValueError("cost_per_hour is not negative, length_ratio and max_source_tokens are at least 1")
        for tag in filter(None, (self.source_language, self.target_language)):
            if not LANGUAGE.fullmatch(tag):
                raise ValueError(f"{tag!r} is no language; write one as en, de or pt-BR")

    @property
    def documents(self) -> DocumentConfig:
        return DocumentConfig(
            split_sentences=self.split_sentences,
            text_field=self.text_field,
            translation_field=self.translation_field,
            source_language=self.source_language,
            target_language=self.target_language,
        )


def plan_translation_archive(
    model: str, output: str, formats: tuple[str, ...], settings: Sequence[str]
) -> tuple[TranslationArchivePlan, TranslationJob, OutputStore]:
    """Raises UserError for another kind of model, for languages that it was not trained for, and for a format or a
    setting that there is not.
    """
    _check_output(output, formats, TRANSLATION_FORMATS)
    bundle = require_translator(find_model(model), model)
    plan = _in_languages(override(TranslationArchivePlan(beam=read_beam(bundle)), settings), bundle, model)
    bundle = add_language_model(bundle, plan.lm, plan.beam)
    how = TranslationConfig(beam=plan.beam, batching=plan.batching, max_source_tokens=plan.max_source_tokens)
    told = [canonical(how), canonical(plan.documents), plan.length_ratio]
    decoding = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    job = TranslationJob(
        bundle=bundle,
        config=how,
        documents=plan.documents,
        formats=formats,
        decoding=decoding,
        length_ratio=plan.length_ratio,
    )
    identity = {"kind": "translations", "model": bundle.digest, "decoding": decoding, "formats": list(formats)}
    provenance = _provenance(bundle) | {"config": told}
    return plan, job, OutputStore(_output_uri(output), identity, provenance)


@dataclass(frozen=True, kw_only=True)
class CaptionArchivePlan:
    """beam: of the search. batch: photos that are looked at and searched at once. max_pixels: a photo with more is
    refused undecoded. error_budget: the share of photos that may fail; the others are done in any case. cost_per_hour:
    of a worker, for the estimate. parts: how much is committed at a time.
    """

    beam: Beam
    batch: int = 32
    max_pixels: int = PIXELS
    error_budget: float = 0.05
    cost_per_hour: float = 0.0
    parts: PartConfig = field(default_factory=PartConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.error_budget <= 1:
            raise ValueError("error_budget is a share, from 0 to 1")
        if self.cost_per_hour < 0 or min(self.batch, self.max_pixels) < 1:
            raise ValueError("cost_per_hour is not negative, batch and max_pixels are at least 1")


def plan_caption_archive(
    model: str, output: str, formats: tuple[str, ...], settings: Sequence[str]
) -> tuple[CaptionArchivePlan, CaptionJob, OutputStore]:
    """Raises UserError for another kind of model, and for a format or a setting that there is not."""
    _check_output(output, formats, CAPTION_FORMATS)
    bundle = find_model(model)
    require_captioner(bundle, model)
    plan = override(CaptionArchivePlan(beam=read_beam(bundle)), settings)
    check_golden_outputs(bundle, plan.beam)
    told = [canonical(plan.beam), plan.batch, plan.max_pixels]
    decoding = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    job = CaptionJob(
        bundle=bundle,
        beam=plan.beam,
        batch=plan.batch,
        formats=formats,
        decoding=decoding,
        max_pixels=plan.max_pixels,
    )
    identity = {"kind": "captions", "model": bundle.digest, "decoding": decoding, "formats": list(formats)}
    provenance = _provenance(bundle) | {"config": told}
    return plan, job, OutputStore(_output_uri(output), identity, provenance)


def check_documents(plan: TranslationArchivePlan, work: Work) -> None:
    """Raises UserError where there is a TMX, whose variants say their language, and that of the target is not known."""
    found = next((i for i in work.items if suffix_of(i.name).startswith("tmx") and not i.problem), None)
    if found and not plan.target_language:
        raise UserError(f"{found.file}: a TMX says in what language each variant is; give --target-language")


def _provenance(bundle: Artifact) -> dict[str, Any]:
    """What is known of a model: its digest, run, data and versions; of an ensemble, which has no run, each member's."""
    own, *members = (
        {"bundle": digest} | model_registry.trace_bundle(digest) for digest in (bundle.digest, *read_members(bundle))
    )
    return own | ({"members": members} if members else {})


def _in_languages(plan: TranslationArchivePlan, bundle: Artifact, model: str) -> TranslationArchivePlan:
    """The plan with the languages of the model's training. Raises UserError where it has others."""
    told = read_object(bundle, TRAINING).get("languages") or {}
    known = {f"{side}_language": str(told.get(side) or "") for side in ("source", "target")}
    for name, trained in known.items():
        wanted = getattr(plan, name)
        if wanted and trained and not same(wanted, trained):
            pair = f"was trained to translate {known['source_language']} to {known['target_language']}"
            raise UserError(f"{model}: {pair}, and {name.replace('_', ' ')} {wanted} is another; give another model")
    return replace(plan, **{name: getattr(plan, name) or trained for name, trained in known.items()})


def _check_output(output: str, formats: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [how for how in formats if how not in known]:
        raise UserError(f"formats {unknown[0]!r}: write some of {', '.join(known)}")
    if not output.removeprefix("s3:").strip("/"):  # what a shell's empty variable makes
        raise UserError(f"output {output!r}: give a folder or s3:// prefix")


def _output_uri(output: str) -> str:
    return output.rstrip("/") if storage.is_s3(output) else os.path.abspath(output)
