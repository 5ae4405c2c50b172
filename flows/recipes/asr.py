"""Speech recipes. Each docstring: what it is for and the number it reached, with the command."""

from dataclasses import replace

from flows.recipes import Recipe
from models import deep_speech_2, listen_attend_spell
from models.interface import Beam
from tasks.augment import Augment
from tasks.corpus import Ingest
from tasks.features import FrontEnd
from tasks.optimise import Fit
from tasks.plan import Batching
from tasks.text import Normalisation
from tasks.tokenizer import Tokens

VERB, MODEL_NAME = "utterances", "asr"  # what a corpus' reader must offer; what a model is registered as


def deep_speech_2_demo() -> Recipe:
    """A small Deep Speech 2 for the generated demo corpus: minutes on two cores."""
    return Recipe(
        ingest=Ingest(shard_mb=4),
        features=FrontEnd(mels=40),
        model=small(hidden_size=128, layers=2),
        augment=Augment(
            time_masks=2,
            time_mask_frames=20,
            frequency_masks=2,
            frequency_mask_bins=6,
            speed=0.12,
            warp=0.12,
            tilt=0.5,
            gain=0.5,
            from_epoch=3,
        ),
        batching=Batching(frames_per_batch=4000, utterances_per_batch=16, sorted_epochs=1),
        fit=adam(epochs=8, learning_rate=2e-3),
        beam=Beam(width=8, max_length=200),
    )


def deep_speech_2_an4() -> Recipe:
    """AN4's cepstra, 2.4 M parameters, greedy: for `--corpus an4:...`."""
    return Recipe(
        ingest=Ingest(shard_mb=1),
        features=FrontEnd(kind="given", cepstra=13),
        model=deep_speech_2.Config(
            channels=(32,),
            time_kernels=(11,),
            time_strides=(2,),
            frequency_kernels=(13,),
            frequency_strides=(2,),
            cell="lstm",
            hidden_size=192,
            layers=3,
            merge="concat",
            dropout=0.3,
        ),
        augment=Augment(time_masks=2, time_mask_frames=20, speed=0.12, noise=0.3, from_epoch=6),
        batching=Batching(frames_per_batch=4000, utterances_per_batch=4, sorted_epochs=2),
        fit=adam(epochs=40, learning_rate=1.5e-3, batches_per_step=2),
        beam=Beam(width=1, max_length=400),
    )


def deep_speech_2_digits() -> Recipe:
    """Connected digits of `--corpus fsdd:...`, for a speaker who is not in training: augmentation decides."""
    return Recipe(
        ingest=Ingest(shard_mb=4),
        tokens=Tokens(kind="words"),
        features=FrontEnd(sample_rate=8000, mels=40, normalise="utterance"),
        model=small(hidden_size=96, layers=2, dropout=0.4),
        augment=Augment(
            time_masks=2,
            time_mask_frames=12,
            frequency_masks=2,
            frequency_mask_bins=8,
            speed=0.25,
            warp=0.2,
            tilt=1.0,
            noise=0.5,
            from_epoch=1,
        ),
        batching=Batching(frames_per_batch=6000, utterances_per_batch=16, sorted_epochs=1),
        fit=replace(adam(epochs=40, learning_rate=2e-3), average_last=5),
        beam=Beam(width=8, max_length=100),
    )


def deep_speech_2_commonvoice() -> Recipe:
    """A middle-sized Deep Speech 2 for a CommonVoice download on one GPU or a few cores; 40 epochs."""
    return Recipe(
        features=FrontEnd(mels=64),
        tokens=Tokens(text=Normalisation(unicode="NFKC")),
        model=deep_speech_2.Config(
            channels=(32, 32),
            time_kernels=(11, 11),
            time_strides=(2, 1),
            frequency_kernels=(41, 21),
            frequency_strides=(2, 2),
            cell="gru",
            hidden_size=512,
            layers=5,
            dropout=0.2,
        ),
        augment=Augment(time_masks=2, frequency_masks=2, speed=0.1, warp=0.1, gain=0.5, from_epoch=4),
        batching=Batching(frames_per_batch=20000, utterances_per_batch=32, sorted_epochs=1),
        fit=adam(epochs=40, learning_rate=5e-4),
        beam=Beam(width=16, max_length=400),
    )


def deep_speech_2_commonvoice_small() -> Recipe:
    """The same in 1 M parameters and a few epochs: a first look at a small CommonVoice language on a laptop."""
    return Recipe(
        ingest=Ingest(shard_mb=4),
        features=FrontEnd(mels=40),
        tokens=Tokens(text=Normalisation(unicode="NFKC")),
        model=small(hidden_size=160, layers=3),
        augment=Augment(time_masks=2, frequency_masks=2, speed=0.1, from_epoch=4),
        batching=Batching(frames_per_batch=6000, utterances_per_batch=16, sorted_epochs=1),
        fit=adam(epochs=10, learning_rate=1.5e-3),
        beam=Beam(width=8, max_length=400),
    )


def deep_speech_2_paper() -> Recipe:
    """The paper's English net and its training (section 3): 7 plain layers of 1280, for GPUs."""
    return Recipe(
        features=FrontEnd(mels=161),
        model=deep_speech_2.Config(),
        augment=Augment(noise=0.3),
        beam=Beam(width=500, max_length=1000),
    )


def listen_attend_spell_demo() -> Recipe:
    """A small speller with a CTC head for the generated demo corpus: test WER 0.0 %, 7 minutes of one core.

    python -m flows.train_asr --corpus demo: --recipe listen_attend_spell_demo
    """
    return Recipe(
        ingest=Ingest(shard_mb=4),
        features=FrontEnd(mels=40),
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
        augment=Augment(
            time_masks=2,
            time_mask_frames=20,
            frequency_masks=2,
            frequency_mask_bins=6,
            speed=0.12,
            warp=0.12,
            tilt=0.5,
            gain=0.5,
            from_epoch=6,
        ),
        batching=Batching(frames_per_batch=4000, utterances_per_batch=16, sorted_epochs=2),
        fit=adam(epochs=24, learning_rate=2e-3),
        beam=Beam(width=8, max_length=200, ctc_weight=0.3),
    )


def listen_attend_spell_an4() -> Recipe:
    """AN4's cepstra, a pyramid of 3 layers on 4 frames as one: for `--corpus an4:...`."""
    return Recipe(
        ingest=Ingest(shard_mb=1),
        features=FrontEnd(kind="given", cepstra=13),
        model=listen_attend_spell.Config(
            reductions=(1, 2, 2),
            listener_size=160,
            embedding_size=64,
            speller_size=256,
            speller_layers=1,
            attention_size=128,
            label_smoothing=0.1,
            dropout=0.3,
            ctc_weight=0.4,
        ),
        augment=Augment(time_masks=2, time_mask_frames=20, speed=0.12, noise=0.3, from_epoch=8),
        batching=Batching(frames_per_batch=4000, utterances_per_batch=4, sorted_epochs=3),
        fit=adam(epochs=50, learning_rate=1.5e-3, batches_per_step=2),
        beam=Beam(width=8, max_length=400, ctc_weight=0.4),
    )


def adam(*, epochs: int, learning_rate: float, batches_per_step: int = 1) -> Fit:
    """AdamW with a rate that rises over a tenth of the updates and falls to nothing (Smith & Topin 2017)."""
    return Fit(
        epochs=epochs,
        optimiser="AdamW",
        learning_rate=learning_rate,
        optimiser_options={"weight_decay": 0.01},
        schedule="OneCycleLR",
        schedule_options={"pct_start": 0.1},
        schedule_every="step",
        clip_norm=5.0,
        batches_per_step=batches_per_step,
    )


def small(*, hidden_size: int, layers: int, dropout: float = 0.0) -> deep_speech_2.Config:
    """One convolution that keeps every third frame, then bidirectional LSTMs: what a laptop trains in minutes."""
    return deep_speech_2.Config(
        channels=(16,),
        time_kernels=(11,),
        time_strides=(3,),
        frequency_kernels=(21,),
        frequency_strides=(4,),
        cell="lstm",
        hidden_size=hidden_size,
        layers=layers,
        merge="concat",
        dropout=dropout,
    )
