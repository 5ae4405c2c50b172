"""Classifiers of recordings and of texts."""

from dataclasses import replace

from flows.recipes import ClassificationRecipe
from flows.recipes.fit_presets import one_cycle
from models import sequence_classifier, tdnn_classifier
from models.layers.rnn_stack import Recurrent
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig

VERB, MODEL_NAME = "labeled", "classifier"  # what a corpus' reader must offer; what a model is registered as

# Other speakers, rooms and microphones than the few there are.
VARIED = AugmentConfig(
    time_masks=1,
    time_mask_frames=8,
    frequency_masks=2,
    frequency_mask_bins=8,
    speed=0.25,
    warp=0.2,
    tilt=1.0,
    noise=0.5,
)


def tdnn_digits() -> ClassificationRecipe:
    """Single digits of `--corpus fsdd:...`, for a speaker who is not in training: 90.6 % on average over the five."""
    return ClassificationRecipe(
        ingest=IngestConfig(shard_mb=1),
        features=FrontEnd(sample_rate=8000, mels=20, trim_db=35, range_db=35, frames=32, normalize="level"),
        model=tdnn_classifier.Config(
            channels=(96, 96, 96, 96, 128),
            windows=(5, 3, 3, 3, 1),
            dilations=(1, 1, 2, 4, 1),
            strides=(2, 1, 1, 1, 1),
            edges="same",
            activation="relu",
            norm="sequence",
            readout="statistics",
            dropout=0.2,
            members=5,
        ),
        augment=AugmentConfig(speed=0.15, tilt=1.0, noise=0.3, snr_db=(10, 50)),
        batching=BatchingConfig(frames_per_batch=6000, utterances_per_batch=32, sorted_epochs=0),
        fit=replace(one_cycle(epochs=12, learning_rate=3e-3, best_by="error"), average_last=5),
        adapt=AdaptationConfig(speakers=True),
    )


def tdnn_digits_1989() -> ClassificationRecipe:
    """The same task with the network of Waibel et al. 1989: 16 bands, 8 hidden units, 10 evidence units."""
    return ClassificationRecipe(
        ingest=IngestConfig(shard_mb=1),
        features=FrontEnd(sample_rate=8000, mels=16, normalize="utterance"),
        model=tdnn_classifier.Config(),
        augment=VARIED,
        batching=BatchingConfig(frames_per_batch=6000, utterances_per_batch=32, sorted_epochs=0),
        fit=one_cycle(epochs=40, learning_rate=1e-2, best_by="error"),
    )


def lstm_digits() -> ClassificationRecipe:
    """The same task with a bidirectional LSTM that reads out the mean of its states."""
    return ClassificationRecipe(
        ingest=IngestConfig(shard_mb=1),
        features=FrontEnd(sample_rate=8000, mels=40, normalize="utterance"),
        model=sequence_classifier.Config(
            recurrent=Recurrent(hidden_size=64, bidirectional=True), readout="mean", dropout=0.3
        ),
        augment=VARIED,
        batching=BatchingConfig(frames_per_batch=6000, utterances_per_batch=32, sorted_epochs=0),
        fit=one_cycle(epochs=40, learning_rate=3e-3, best_by="error"),
    )


def lstm_text() -> ClassificationRecipe:
    """Texts of `--corpus labeled:...` by a bidirectional LSTM over characters: for language, topic or tone."""
    return ClassificationRecipe(
        features=TokenizerConfig(kind="characters", text=NormalizationConfig(case="keep", punctuation="keep")),
        model=sequence_classifier.Config(
            source="tokens",
            embedding_size=64,
            recurrent=Recurrent(hidden_size=128, bidirectional=True),
            readout="max",
            dropout=0.3,
        ),
        batching=BatchingConfig(frames_per_batch=8000, utterances_per_batch=32, sorted_epochs=0),
        fit=one_cycle(epochs=10, learning_rate=2e-3, best_by="error"),
    )
