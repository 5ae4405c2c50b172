"""Corpora that people share: Common Voice, and connected digits of the Free Spoken Digit Dataset.

The recipes of speech are these and those of PARTS.
"""

from dataclasses import replace

from flows.recipes import Recipe, asr_an4, asr_demo, asr_own_data
from flows.recipes.asr_laptop_network import small_network
from flows.recipes.fit_presets import one_cycle
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.add_decoding_resources import TranscriptLMConfig
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd
from tasks.ngram.train_ngram import NGramConfig

VERB, MODEL_NAME = "utterances", "asr"  # what a corpus' reader must offer; what a model is registered as
PARTS = (asr_own_data, asr_an4, asr_demo)  # whose recipes are offered with these


def deep_speech_2_digits() -> Recipe:
    """Connected digits of `--corpus fsdd:...`, for a speaker not in training: 4.8 and 6.4 % WER.

    On theo, in two trainings. One network of whole words, without the noise of random spectra, has 13.4 %.
    """
    return Recipe(
        ingest=IngestConfig(shard_mb=4),
        features=FrontEnd(sample_rate=8000, mels=40, normalize="utterance"),
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
        fit=replace(one_cycle(epochs=40, learning_rate=2e-3), average_last=5),
        transcript_model=TranscriptLMConfig(
            unit="words", ngram=NGramConfig(order=1)
        ),  # for its words: digits follow no order
        beam=Beam(width=8, lm_weight=0.3, lexicon_only=True),
        adapt=AdaptationConfig(speakers=True),
    )


def deep_speech_2_commonvoice() -> Recipe:
    """A download of Common Voice on one GPU or a few cores: `asr_medium`."""
    return asr_own_data.asr_medium()


def deep_speech_2_commonvoice_small() -> Recipe:
    """A first look at a small language of Common Voice on a laptop: `asr_small`."""
    return asr_own_data.asr_small()
