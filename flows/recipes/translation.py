"""Translators of your own sentence pairs (`--corpus parallel:...`), and of the papers' sizes."""

from dataclasses import replace

from flows.recipes import TranslationFineTuningRecipe, TranslationRecipe, multi30k
from flows.recipes.fit_presets import inverse_sqrt, one_cycle
from models import transformer
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.fit_translation_vocabularies import AS_PRINTED, TranslationTokensConfig
from tasks.text.tokenizer import TokenizerConfig

VERB, MODEL_NAME = "pairs", "translation"  # what a corpus' reader must offer; what a model is registered as
PARTS = (multi30k,)  # modules whose recipes are among these


def joint_bpe(pieces: int) -> TranslationTokensConfig:
    one = TokenizerConfig(kind="bpe", vocabulary_size=pieces, text=AS_PRINTED)
    return TranslationTokensConfig(source=one, target=one, joint=True)


def translation_small() -> TranslationRecipe:
    """Your own pairs, some 10,000 to a million of them: a Transformer of 3 + 3 layers and 256 units.

    Normalized before its layers, which trains where the published order does not (see multi30k.py).
    """
    return TranslationRecipe(
        tokens=joint_bpe(8000),
        model=transformer.Config(
            size=256,
            heads=4,
            feed_forward_size=1024,
            encoder_layers=3,
            decoder_layers=3,
            norm="pre",
            dropout=0.2,
            joint_vocabulary=True,
        ),
        batching=BatchingConfig(frames_per_batch=4096, utterances_per_batch=512, sorted_epochs=0),
        fit=inverse_sqrt(epochs=40, learning_rate=2e-3, warmup_steps=2000, average_last=5, patience=5),
        beam=Beam(width=5, length_norm=1.0),
    )


def translation_fine_tune() -> TranslationFineTuningRecipe:
    """A few thousand pairs of one subject: a translator that there is learns how they say it (with --from).

    As Luong & Manning 2015 (IWSLT) adapt theirs: training goes on, for some epochs, on the pairs of the subject alone.
    """
    return TranslationFineTuningRecipe(
        batching=BatchingConfig(frames_per_batch=2048, utterances_per_batch=256, sorted_epochs=0),
        fit=one_cycle(epochs=8, learning_rate=3e-4, clip_norm=1.0, best_by="loss"),
    )


def transformer_base() -> TranslationRecipe:
    """Vaswani et al. 2017, base: 37,000 joint pieces, 25,000 tokens a side in an update, 100,000 updates."""
    return TranslationRecipe(
        tokens=joint_bpe(37000),
        model=transformer.Config(joint_vocabulary=True),
        batching=BatchingConfig(frames_per_batch=25000, utterances_per_batch=2048, sorted_epochs=0),
        fit=inverse_sqrt(epochs=22, learning_rate=(512 * 4000) ** -0.5, warmup_steps=4000, average_last=5),
        beam=Beam(width=4, length_norm=0.6),
    )


def transformer_big() -> TranslationRecipe:
    """The same, big: 300,000 updates."""
    return replace(
        transformer_base(),
        model=replace(transformer.big(), joint_vocabulary=True),
        fit=inverse_sqrt(epochs=66, learning_rate=(1024 * 4000) ** -0.5, warmup_steps=4000, average_last=20),
    )
