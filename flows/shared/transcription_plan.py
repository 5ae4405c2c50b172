"""What `--set` may replace of how recordings are transcribed, and the recognizer that does it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.shared.evaluation_plan import SearchPlan, add_search_resources, require_recognizer, search_plan
from flows.shared.overrides import override
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.audio.audio_blocks import Channels
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import load_on_device
from tasks.steps.in_process import run_in_process
from tasks.transcription.transcribe_audio import Transcriber, TranscriptionConfig
from tasks.transcription.voice_activity import VadConfig, check_installed
from tasks.transcription.windows import WindowConfig


@dataclass(frozen=True, kw_only=True)
class TranscriptionPlan:
    """beam, lm, lexicon, hotwords: as for `flows.evaluate`, by default the bundle's. channels: mix,
    separate, or a number from 0 on. vad, windows: how long recordings are cut.
    """

    beam: Beam
    channels: str = "mix"
    lm: str = ""
    lexicon: str = ""
    hotwords: tuple[str, ...] = ()
    vad: VadConfig = field(default_factory=VadConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)


def parse_channels(written: str) -> Channels:
    """Raises UserError for what is neither "mix" nor "separate" nor a number."""
    if written in ("mix", "separate"):
        return written
    if written.isdecimal():
        return int(written)
    raise UserError(f"channels={written}: mix, separate, or the number of one, from 0 on")


def load_transcriber(model: str, settings: Sequence[str] = ()) -> Transcriber:
    """A recognizer, NAME@ALIAS or the path of a bundle, with settings as `--set` takes them.

    Raises UserError for another kind of model, and for a setting that it does not take.
    """
    bundle = require_recognizer(find_model(model), model)
    plan = override(TranscriptionPlan(beam=search_plan(bundle).beam), settings)
    ready, how = prepare_transcription(bundle, plan)
    return Transcriber(load_on_device(ready)[0], how)


def prepare_transcription(bundle: Artifact, plan: TranscriptionPlan) -> tuple[Artifact, TranscriptionConfig]:
    """The bundle with what the search takes, and how recordings are cut and decoded. Raises UserError for what is not
    installed or does not go together.
    """
    check_installed(plan.vad)
    search = SearchPlan(beam=plan.beam, lm=plan.lm, lexicon=plan.lexicon, hotwords=plan.hotwords)
    with run_in_process():
        ready = add_search_resources(bundle, search, plan.beam)
    how = TranscriptionConfig(
        beam=plan.beam,
        channels=parse_channels(plan.channels),
        vad=plan.vad,
        windows=plan.windows,
        batching=plan.batching,
    )
    return ready, how
