"""Your own recordings, of any kind of corpus, by the hours there are and the machine.

Each docstring: what it is for; flows/recipes/README.md has what it reached.
"""

from dataclasses import dataclass

from flows.recipes import FineTuningRecipe, Recipe
from flows.recipes.asr_laptop_network import small_network
from flows.recipes.fit_presets import one_cycle
from models import deep_speech_2, listen_attend_spell, rnn_transducer
from models.interface import Beam
from models.layers.rnn_stack import Recurrent
from tasks.batches.batch_sampler import BatchingConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.optimizer import FitConfig


@dataclass(frozen=True)
class RecipeSize:
    """What a recipe is for. hours: of training audio, from which on it is better than a smaller one. gpus, cores: so
    many of either are enough, 0 cores where only GPUs are. memory_gb: that it takes.
    """

    recipe: str
    hours: float
    gpus: int
    cores: int
    memory_gb: float


# The largest first; `train-asr` without --recipe takes the first that fits, or the last.
SIZES = (
    RecipeSize("asr_large", hours=200, gpus=1, cores=0, memory_gb=16),
    RecipeSize("asr_medium", hours=10, gpus=1, cores=8, memory_gb=8),
    RecipeSize("asr_small", hours=0, gpus=0, cores=1, memory_gb=2),
)


def asr_fine_tune() -> FineTuningRecipe:
    """Some minutes of new audio, on a laptop: a model that there is learns a voice, a room, an accent (with --from)."""
    return FineTuningRecipe(
        augment=AugmentConfig(time_masks=2, frequency_masks=2, speed=0.1),
        batching=BatchingConfig(frames_per_batch=4000, utterances_per_batch=4, sorted_epochs=0),
        fit=one_cycle(epochs=40, learning_rate=5e-4),
    )


def asr_small() -> Recipe:
    """Under 10 hours of sound, on a laptop: a Deep Speech 2 of 1.7 M parameters, 25 epochs.

    1.1 GB of memory, 21 seconds of a core for an hour of audio and an epoch (measured by 21 epochs of 1.65 h of
    Persian, which came to a dev CER of 44 %).
    """
    return Recipe(
        features=FrontEnd(mels=40),
        tokens=TokenizerConfig(text=NormalizationConfig(unicode="NFKC")),
        model=small_network(hidden_size=160, layers=3),
        augment=AugmentConfig(time_masks=2, frequency_masks=2, speed=0.1, from_epoch=4),
        batching=BatchingConfig(frames_per_batch=6000, utterances_per_batch=16, sorted_epochs=1),
        fit=one_cycle(epochs=25, learning_rate=1.5e-3, batches_per_step=2),
        beam=Beam(width=8),
    )


def asr_medium() -> Recipe:
    """10 hours of sound and more, on a GPU or 8 workers: a Deep Speech 2 of 16 M parameters, 40 epochs.

    5.8 GB of memory a worker, 740 seconds of a core for an hour of audio and an epoch (measured by one update,
    extrapolated). Not trained to its end.
    """
    return Recipe(
        features=FrontEnd(mels=64),
        tokens=TokenizerConfig(text=NormalizationConfig(unicode="NFKC")),
        model=deep_speech_2.Config(
            channels=(32, 32),
            time_kernels=(11, 11),
            time_strides=(2, 1),
            frequency_kernels=(41, 21),
            frequency_strides=(2, 2),
            cell="gru",
            share_input=False,
            norm="input",
            hidden_size=512,
            layers=5,
            dropout=0.2,
        ),
        augment=AugmentConfig(time_masks=2, frequency_masks=2, speed=0.1, warp=0.1, gain=0.5, from_epoch=4),
        batching=BatchingConfig(frames_per_batch=20000, utterances_per_batch=32, sorted_epochs=1),
        fit=one_cycle(epochs=40, learning_rate=5e-4, batches_per_step=4),
        beam=Beam(width=16),
    )


def asr_large() -> Recipe:
    """Hundreds to thousands of hours of sound, on GPUs: a Deep Speech 2 of 89 M parameters, 20 epochs.

    The paper's convolutions, with 7 gated layers of 1024. 15 GB of memory a worker, 10,400 seconds of a core for an
    hour of audio and an epoch: it needs GPUs (measured by one update without, extrapolated). Not trained to its end.
    """
    return Recipe(
        tokens=TokenizerConfig(text=NormalizationConfig(unicode="NFKC")),
        model=deep_speech_2.Config(
            cell="gru", share_input=False, norm="input", hidden_size=1024, layers=7, dropout=0.1
        ),
        augment=AugmentConfig(time_masks=2, frequency_masks=2, speed=0.1, warp=0.1, gain=0.5, from_epoch=1),
        batching=BatchingConfig(frames_per_batch=20000, utterances_per_batch=32, sorted_epochs=1),
        fit=one_cycle(epochs=20, learning_rate=3e-4, batches_per_step=16),
        beam=Beam(width=16),
    )


def asr_streaming() -> Recipe:
    """10 hours of sound and more, to be written while it is spoken (`listen`): a transducer that reads forward.

    It reads 60 ms at a time, and what it has written stays. 10.7 M parameters, 30 epochs; 1.6 GB of memory a worker, 83
    seconds of a core for an hour of audio and an epoch (measured by one update, extrapolated). Not trained to its end.
    """
    return Recipe(
        tokens=TokenizerConfig(text=NormalizationConfig(unicode="NFKC")),
        model=rnn_transducer.Config(
            left_frames=1,
            stride=3,
            encoder=Recurrent(layers=4, hidden_size=512, dropout=0.1),
            time_reduction=2,
            embedding_size=128,
            prediction=Recurrent(layers=1, hidden_size=512),
            linear_size=0,
            joint_size=320,
            dropout=0.1,
            normalize=True,
        ),
        augment=AugmentConfig(time_masks=2, frequency_masks=2, speed=0.1, from_epoch=3),
        batching=BatchingConfig(frames_per_batch=12000, utterances_per_batch=16, sorted_epochs=1),
        fit=one_cycle(epochs=30, learning_rate=1e-3, batches_per_step=2),
        beam=Beam(width=8),
    )


def deep_speech_2_paper() -> Recipe:
    """Thousands of hours, on GPUs: the paper's English net and its training (section 3), 7 plain layers of 1280."""
    return Recipe(
        features=FrontEnd(kind="log_spectrogram", window_ms=20.0),  # 161 frequencies
        model=deep_speech_2.Config(),
        augment=AugmentConfig(noise=0.3),
        fit=FitConfig(batches_per_step=8),  # of 64 utterances: the paper's batch of 512
        beam=Beam(width=500),
    )


def listen_attend_spell_2018() -> Recipe:
    """Thousands of hours, on GPUs: the speller of Chiu et al. 2018 at its size (section 4.1). Its number is its demo's.

    80 bands, 5 BLSTMs of 1024, 4 heads; `listen_attend_spell_2018_demo` is the same in small.
    """
    return Recipe(
        features=FrontEnd(mels=80),
        model=listen_attend_spell.chiu_2018(),
        augment=AugmentConfig(noise=0.3),
        batching=BatchingConfig(frames_per_batch=20000, utterances_per_batch=32, sorted_epochs=1),
        fit=one_cycle(epochs=40, learning_rate=5e-4),
        beam=Beam(width=8),
    )
