"""Speech recipes. Each docstring: what it is for and the number it reached, with the command."""

from dataclasses import replace

from flows.recipes import Recipe, asr_an4, asr_demo
from flows.recipes.asr_defaults import adam, small_network
from models import deep_speech_2, listen_attend_spell
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.decoding_resources import TranscriptLMConfig
from tasks.bundles.speaker_adaptation import AdaptationConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd
from tasks.ngram.train_ngram import NGramConfig
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig

VERB, MODEL_NAME = "utterances", "asr"  # what a corpus' reader must offer; what a model is registered as
PARTS = (asr_demo, asr_an4)  # whose recipes are offered with these


def deep_speech_2_digits() -> Recipe:
    """Connected digits of `--corpus fsdd:...`, for a speaker who is not in training: 4.8 and 6.4 % WER on theo
    in two trainings. One network of whole words, without the noise of random spectra, has 13.4 %.
    """
    return Recipe(
        ingest=IngestConfig(shard_mb=4),
        features=FrontEnd(sample_rate=8000, mels=40, normalise="utterance"),
        model=replace(small_network(hidden_size=96, layers=2, dropout=0.4), members=3),
        augment=AugmentConfig(
            time_masks=2,
            time_mask_frames=12,
            frequency_masks=2,
            frequency_mask_bins=8,
            speed=0.25,
            warp=0.2,
            tilt=1.0,
            noise=0.5,
            snr_db=(10, 50),
            from_epoch=1,
        ),
        batching=BatchingConfig(frames_per_batch=6000, utterances_per_batch=16, sorted_epochs=1),
        fit=replace(adam(epochs=40, learning_rate=2e-3), average_last=5),
        transcript_model=TranscriptLMConfig(
            unit="words", ngram=NGramConfig(order=1)
        ),  # for its words: digits follow no order
        beam=Beam(width=8, max_length=100, lm_weight=0.3, lexicon_only=True),
        adapt=AdaptationConfig(speakers=True),
    )


def deep_speech_2_commonvoice() -> Recipe:
    """A middle-sized Deep Speech 2 for a CommonVoice download on one GPU or a few cores; 40 epochs."""
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
        fit=adam(epochs=40, learning_rate=5e-4),
        beam=Beam(width=16, max_length=400),
    )


def deep_speech_2_commonvoice_small() -> Recipe:
    """The same in 1 M parameters and a few epochs: a first look at a small CommonVoice language on a laptop."""
    return Recipe(
        ingest=IngestConfig(shard_mb=4),
        features=FrontEnd(mels=40),
        tokens=TokenizerConfig(text=NormalizationConfig(unicode="NFKC")),
        model=small_network(hidden_size=160, layers=3),
        augment=AugmentConfig(time_masks=2, frequency_masks=2, speed=0.1, from_epoch=4),
        batching=BatchingConfig(frames_per_batch=6000, utterances_per_batch=16, sorted_epochs=1),
        fit=adam(epochs=10, learning_rate=1.5e-3),
        beam=Beam(width=8, max_length=400),
    )


def deep_speech_2_paper() -> Recipe:
    """The paper's English net and its training (section 3): 7 plain layers of 1280, for GPUs."""
    return Recipe(
        features=FrontEnd(mels=161),
        model=deep_speech_2.Config(),
        augment=AugmentConfig(noise=0.3),
        beam=Beam(width=500, max_length=1000),
    )


def listen_attend_spell_2018() -> Recipe:
    """The speller of Chiu et al. 2018 at its size (section 4.1): 80 bands, 5 BLSTMs of 1024, 4 heads; for GPUs. Its
    demo, `listen_attend_spell_2018_demo`, has a number.
    """
    return Recipe(
        features=FrontEnd(mels=80),
        model=listen_attend_spell.chiu_2018(),
        augment=AugmentConfig(noise=0.3),
        batching=BatchingConfig(frames_per_batch=20000, utterances_per_batch=32, sorted_epochs=1),
        fit=adam(epochs=40, learning_rate=5e-4),
        beam=Beam(width=8, max_length=400),
    )
