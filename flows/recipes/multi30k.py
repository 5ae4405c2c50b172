"""Multi30k (`--corpus multi30k:...`), English and German, test set test_2016_flickr."""

from dataclasses import replace
from typing import Any

from flows.recipes import TranslationRecipe
from flows.recipes.fit_presets import one_cycle
from models import bahdanau, conv_s2s, encoder_decoder, gnmt, luong, seq2seq, transformer
from models.interface import Beam
from models.layers.rnn_stack import Recurrent
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.fit_translation_vocabularies import AS_PRINTED, TranslationTokensConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.optimizer import FitConfig

EN_DE = IngestConfig(source_language="en", target_language="de", shard_mb=1)
DE_EN = replace(EN_DE, source_language="de", target_language="en")
LOWERCASED = replace(AS_PRINTED, case="lower")
BATCHES = BatchingConfig(frames_per_batch=1536, utterances_per_batch=256, sorted_epochs=0)
PIECES = TokenizerConfig(kind="bpe", vocabulary_size=6000, text=LOWERCASED)


def transformer_multi30k_en_de() -> TranslationRecipe:
    """Transformer, English to German, lowercased: 4 + 4 layers of 128 (Transformer-Tiny of Wu et al. 2021).

    Normalized before its layers: after them, as published, its encoder made one vector of all words at such rates.
    """
    return TranslationRecipe(
        ingest=EN_DE,
        tokens=TranslationTokensConfig(source=PIECES, target=PIECES, joint=True),
        model=transformer.Config(
            size=128,
            heads=4,
            feed_forward_size=256,
            encoder_layers=4,
            decoder_layers=4,
            norm="pre",
            dropout=0.25,
            joint_vocabulary=True,
        ),
        batching=BATCHES,
        fit=_one_cycle(epochs=48, learning_rate=2e-3),
        beam=Beam(width=5, length_norm=1.0),
    )


def transformer_multi30k_de_en() -> TranslationRecipe:
    """The same from German to English."""
    return replace(transformer_multi30k_en_de(), ingest=DE_EN)


def _in_an_hour(model: Any, *, epochs: int, learning_rate: float) -> TranslationRecipe:
    """German to English, with the tokens and the beam of the Transformer; meant for an hour of one core each."""
    fit = _one_cycle(epochs=epochs, learning_rate=learning_rate)
    return replace(transformer_multi30k_de_en(), model=model, fit=fit)


def _one_cycle(*, epochs: int, learning_rate: float) -> FitConfig:
    """The rate has fallen to nothing where it ends: so few epochs do what hundreds with a rate that stays do."""
    fit = one_cycle(epochs=epochs, learning_rate=learning_rate, clip_norm=1.0, best_by="loss")
    return replace(fit, precision="bfloat16", average_last=3)  # as its numbers were made


def bahdanau_multi30k() -> TranslationRecipe:
    """A bidirectional GRU and additive attention, German to English."""
    return _in_an_hour(
        bahdanau.Config(
            embedding_size=256,
            hidden_size=256,
            attention_size=256,
            maxout_size=256,
            reset="outside",
            dropout=0.4,
            label_smoothing=0.1,
            initial_deviation=0.05,
        ),
        epochs=16,
        learning_rate=3e-3,
    )


def conv_s2s_multi30k() -> TranslationRecipe:
    """Convolutions on both sides, attention in each layer, German to English."""
    layers = ((3, 256),) * 5
    return _in_an_hour(
        conv_s2s.Config(
            embedding_size=256, encoder=layers, decoder=layers, positions=260, dropout=0.3, label_smoothing=0.1
        ),
        epochs=16,
        learning_rate=2e-3,
    )


def luong_multi30k() -> TranslationRecipe:
    """Two LSTM layers, global attention after the update, input feeding, German to English."""
    return _in_an_hour(
        luong.Config(
            embedding_size=256,
            recurrent=Recurrent(cell="lstm", layers=2, hidden_size=256, dropout=0.3),
            reach="global",
            dropout=0.3,
            label_smoothing=0.1,
        ),
        epochs=16,
        learning_rate=3e-3,
    )


def gnmt_multi30k() -> TranslationRecipe:
    """Four layers a side, residual from the third on, German to English."""
    return _in_an_hour(
        gnmt.Config(
            embedding_size=256,
            hidden_size=256,
            encoder_layers=4,
            decoder_layers=4,
            attention_size=256,
            dropout=0.3,
            label_smoothing=0.1,
        ),
        epochs=12,
        learning_rate=2e-3,
    )


def seq2seq_multi30k() -> TranslationRecipe:
    """Two LSTM layers without attention, the source reversed, German to English."""
    return _in_an_hour(
        seq2seq.Config(
            embedding_size=256,
            recurrent=Recurrent(cell="lstm", layers=2, hidden_size=384, dropout=0.3),
            dropout=0.3,
            label_smoothing=0.1,
        ),
        epochs=14,
        learning_rate=3e-3,
    )


def encoder_decoder_multi30k() -> TranslationRecipe:
    """One GRU a side, the summary of the source in every step, German to English."""
    return _in_an_hour(
        encoder_decoder.Config(
            rank=256, hidden_size=384, maxout_size=256, dropout=0.3, label_smoothing=0.1, initial_deviation=0.05
        ),
        epochs=16,
        learning_rate=3e-3,
    )
