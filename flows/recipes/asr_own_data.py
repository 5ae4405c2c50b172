"""Your own recordings, of any kind of corpus, by the hours there are and the machine.

Each docstring: what it is for; flows/recipes/README.md has what it reached.
"""

from flows.recipes import Recipe
from flows.recipes.asr_laptop_network import small_network
from flows.recipes.fit_presets import one_cycle
from models import deep_speech_2, listen_attend_spell
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.optimizer import FitConfig


def asr_small() -> Recipe:
    """Up to some hours of sound, on a laptop: a Deep Speech 2 of 1 M parameters, 10 epochs."""
    return Recipe(
        ingest=IngestConfig(shard_mb=4),
        features=FrontEnd(mels=40),
        tokens=TokenizerConfig(text=NormalizationConfig(unicode="NFKC")),
        model=small_network(hidden_size=160, layers=3),
        augment=AugmentConfig(time_masks=2, frequency_masks=2, speed=0.1, from_epoch=4),
        batching=BatchingConfig(frames_per_batch=6000, utterances_per_batch=16, sorted_epochs=1),
        fit=one_cycle(epochs=10, learning_rate=1.5e-3, batches_per_step=2),
        beam=Beam(width=8),
    )


def asr_medium() -> Recipe:
    """Tens to hundreds of hours, on one GPU or a few cores: a middle-sized Deep Speech 2, 40 epochs."""
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
