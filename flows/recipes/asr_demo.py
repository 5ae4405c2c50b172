"""Every architecture on the generated demo corpus, in minutes on two cores: `--corpus demo:`."""

from dataclasses import replace
from typing import Literal

from flows.recipes import Recipe
from flows.recipes.asr_laptop_network import small_network
from flows.recipes.fit_presets import one_cycle
from models import deep_speech, listen_attend_spell, rnn_transducer, tdnn_ctc, wav2letter
from models.interface import Beam
from models.layers.rnn_stack import Recurrent
from models.layers.time_domain_filterbank import TimeDomainFilters
from tasks.batches.batch_sampler import BatchingConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd

VARIED = AugmentConfig(
    time_masks=2,
    time_mask_frames=20,
    frequency_masks=2,
    frequency_mask_bins=6,
    speed=0.12,
    warp=0.12,
    tilt=0.5,
    gain=0.5,
    from_epoch=3,
)


def deep_speech_2_demo() -> Recipe:
    """A small Deep Speech 2 for the generated demo corpus: minutes on two cores.

    It hears utterances joined with silence between, so that it reads hours of them as well as single ones.
    """
    return replace(
        _short_utterances(),
        augment=replace(VARIED, snr_db=(20, 70), from_epoch=2, concatenate=0.4, silence_frames=200),
    )


def _short_utterances() -> Recipe:
    """The same on the clips as they are."""
    return Recipe(
        ingest=IngestConfig(shard_mb=4),
        features=FrontEnd(mels=40),
        model=small_network(hidden_size=128, layers=2),
        augment=VARIED,
        batching=BatchingConfig(frames_per_batch=4000, utterances_per_batch=16, sorted_epochs=1),
        fit=one_cycle(epochs=8, learning_rate=2e-3, batches_per_step=2),
        beam=Beam(width=8),
    )


def wav2letter_demo() -> Recipe:
    """A small Wav2Letter for the demo corpus, under CTC: convolutions that see 0.6 s."""
    return replace(_short_utterances(), model=letters(criterion="ctc"), fit=one_cycle(epochs=12, learning_rate=2e-3))


def wav2letter_asg_demo() -> Recipe:
    """The same under the auto segmentation criterion, with transitions and without blank."""
    return replace(_short_utterances(), model=letters(criterion="asg"), fit=one_cycle(epochs=20, learning_rate=2e-3))


def deep_speech_demo() -> Recipe:
    """A small Deep Speech for the demo corpus."""
    return replace(
        _short_utterances(),
        model=deep_speech.Config(hidden_size=320, context=7, stride=2, dropout=0.1),
        fit=one_cycle(epochs=16, learning_rate=1e-3),
    )


def tdnn_ctc_demo() -> Recipe:
    """A small time-delay network for the demo corpus."""
    return replace(
        _short_utterances(),
        model=tdnn_ctc.Config(channels=(256,) * 5, dropout=0.1),
        fit=one_cycle(epochs=16, learning_rate=2e-3),
    )


def tdnn_ctc_waveform_demo() -> Recipe:
    """The same on the waveform itself, through filters that are learned with it: test WER 2.5 %."""
    spectral = tdnn_ctc_demo()
    return replace(
        spectral,
        features=FrontEnd(kind="waveform", sample_rate=8000, normalize="level"),
        model=replace(spectral.model, waveform=True, filters=TimeDomainFilters(sample_rate=8000)),
        augment=AugmentConfig(time_masks=2, time_mask_frames=20, from_epoch=3),
        fit=one_cycle(epochs=8, learning_rate=2e-3),
    )


def rnn_transducer_demo() -> Recipe:
    """A small transducer for the generated demo corpus: minutes on two cores."""
    return replace(
        _short_utterances(),
        model=rnn_transducer.Config(
            stride=3,
            encoder=Recurrent(layers=2, hidden_size=128, bidirectional=True),
            embedding_size=64,
            prediction=Recurrent(layers=1, hidden_size=128),
            linear_size=0,
            joint_size=128,
            dropout=0.1,
            normalize=True,
        ),
        fit=one_cycle(epochs=12, learning_rate=3e-3),
    )


def listen_attend_spell_demo() -> Recipe:
    """A small speller with a CTC head for the generated demo corpus: test WER 0.0 %, 8 minutes of one core."""
    shared = _short_utterances()
    return replace(
        shared,
        model=listen_attend_spell.Config(
            reductions=(2, 2),
            listener_size=128,
            embedding_size=64,
            speller_size=192,
            speller_layers=1,
            attention_size=96,
            label_smoothing=0.1,
            dropout=0.1,
            ctc_weight=0.3,
        ),
        augment=replace(shared.augment, from_epoch=6),
        batching=replace(shared.batching, sorted_epochs=2),
        fit=one_cycle(epochs=16, learning_rate=2e-3),
        beam=Beam(width=8, ctc_weight=0.3),
    )


def listen_attend_spell_2018_demo() -> Recipe:
    """The same with what Chiu et al. 2018 changed: frames stacked once, no pyramid, 4 additive heads; test WER 0.0 %.

    5 minutes of one core. Without the CTC head, which they have not (`--set model.ctc_weight=0 --set
    beam.ctc_weight=0`), 2.0 %.
    """
    shared = listen_attend_spell_demo()
    return replace(shared, model=replace(shared.model, reductions=(3, 1), attention="additive", heads=4))


def letters(*, criterion: Literal["asg", "ctc"]) -> wav2letter.Config:
    """Six convolutions, normalized, of which the first keeps every second frame."""
    return wav2letter.Config(
        channels=(160,) * 5 + (320,),
        windows=(11, 7, 7, 7, 7, 1),
        dilations=(1,) * 6,
        strides=(2, 1, 1, 1, 1, 1),
        norm="sequence",
        dropout=0.1,
        criterion=criterion,
    )
