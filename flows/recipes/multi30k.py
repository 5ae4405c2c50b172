"""Multi30k (`--corpus multi30k:...`), English and German, test set test_2016_flickr."""

from dataclasses import replace

from flows.recipes import TranslationRecipe
from flows.recipes.fit_presets import inverse_sqrt
from models import transformer
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.fit_translation_vocabularies import AS_PRINTED, TranslationTokensConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.text.tokenizer import TokenizerConfig

EN_DE = IngestConfig(source_language="en", target_language="de", shard_mb=1)
DE_EN = replace(EN_DE, source_language="de", target_language="en")
LOWERCASED = replace(AS_PRINTED, case="lower")
BATCHES = BatchingConfig(frames_per_batch=4096, utterances_per_batch=512, sorted_epochs=0)


def joint_pieces() -> TranslationTokensConfig:
    one = TokenizerConfig(kind="bpe", vocabulary_size=10000, text=LOWERCASED)
    return TranslationTokensConfig(source=one, target=one, joint=True)


def transformer_multi30k_en_de() -> TranslationRecipe:
    """Transformer, English to German, lowercased: 4 + 4 layers of 128 units (Wu et al. 2021, Transformer-Tiny)."""
    return TranslationRecipe(
        ingest=EN_DE,
        tokens=joint_pieces(),
        model=transformer.Config(
            size=128,
            heads=4,
            feed_forward_size=256,
            encoder_layers=4,
            decoder_layers=4,
            dropout=0.3,
            joint_vocabulary=True,
        ),
        batching=BATCHES,
        fit=inverse_sqrt(epochs=100, learning_rate=5e-3, warmup_steps=2000, average_last=10, patience=10),
        beam=Beam(width=5, length_norm=1.0),
    )


def transformer_multi30k_de_en() -> TranslationRecipe:
    """The same from German to English."""
    return replace(transformer_multi30k_en_de(), ingest=DE_EN)
