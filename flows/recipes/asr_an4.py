"""AN4, as 13 cepstra or its recordings: `--corpus an4:...`."""

from dataclasses import replace

from flows.recipes import Recipe
from flows.recipes.fit_presets import one_cycle
from models import deep_speech_2, listen_attend_spell, rnn_transducer
from models.interface import Beam
from models.layers.rnn_stack import Recurrent
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.add_decoding_resources import TranscriptLMConfig
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd
from tasks.text.tokenizer import TokenizerConfig

PIECES = TokenizerConfig(
    kind="bpe", vocabulary_size=128
)  # of 848 sentences: the usual words and spelled letters are one each
VARIED = AugmentConfig(time_masks=2, time_mask_frames=20, speed=0.12, noise=0.3)
VARIED_SPECTRA = replace(VARIED, frequency_masks=2, frequency_mask_bins=5, warp=0.12, tilt=0.5, gain=0.5)


def deep_speech_2_an4() -> Recipe:
    """AN4's cepstra as spectra that training warps, tilts and masks; 2.5 M parameters, greedy: dev WER 14.4 %."""
    return Recipe(
        ingest=IngestConfig(shard_mb=1),
        tokens=PIECES,
        features=FrontEnd(kind="given", bands=24),
        model=deep_speech_2.Config(
            channels=(32,),
            time_kernels=(11,),
            time_strides=(3,),
            frequency_kernels=(13,),
            frequency_strides=(3,),
            cell="lstm",
            hidden_size=192,
            layers=3,
            merge="concat",
            share_input=False,
            norm="input",
            dropout=0.4,
        ),
        augment=replace(VARIED_SPECTRA, from_epoch=4),
        batching=BatchingConfig(frames_per_batch=4000, utterances_per_batch=4, sorted_epochs=2),
        fit=replace(one_cycle(epochs=40, learning_rate=1.5e-3, batches_per_step=2), average_last=5),
        beam=Beam(width=1),
        adapt=AdaptationConfig(speakers=True),
    )


def deep_speech_2_an4_lm() -> Recipe:
    """The same network, searched with a trigram of the training transcripts, weights tuned on dev: dev WER 12.0 %."""
    beam = Beam(width=32, lm_weight=0.6, word_bonus=2.0, unknown_bonus=-4.0)
    return replace(deep_speech_2_an4(), transcript_model=TranscriptLMConfig(unit="words"), beam=beam)


def rnn_transducer_an4() -> Recipe:
    """AN4's cepstra, 1.7 M parameters: dev WER 28.1 % without a language model."""
    return Recipe(
        ingest=IngestConfig(shard_mb=1),
        tokens=PIECES,
        features=FrontEnd(kind="given", cepstra=13),
        model=rnn_transducer.Config(
            stride=3,
            encoder=Recurrent(layers=3, hidden_size=160, bidirectional=True, dropout=0.3),
            embedding_size=64,
            prediction=Recurrent(layers=1, hidden_size=160),
            linear_size=0,
            joint_size=160,
            dropout=0.3,
            normalize=True,
        ),
        augment=replace(VARIED, from_epoch=6),
        batching=BatchingConfig(frames_per_batch=4000, utterances_per_batch=8, sorted_epochs=2),
        fit=replace(one_cycle(epochs=60, learning_rate=2e-3), average_last=5),
        beam=Beam(width=8),
    )


def listen_attend_spell_an4() -> Recipe:
    """AN4's cepstra as spectra, 3 frames as one, a CTC head beside the speller: dev WER 22.3 %."""
    return Recipe(
        ingest=IngestConfig(shard_mb=1),
        tokens=PIECES,
        features=FrontEnd(kind="given", bands=24),
        model=listen_attend_spell.Config(
            reductions=(3, 1, 1),
            listener_size=192,
            embedding_size=64,
            speller_size=256,
            speller_layers=1,
            attention="additive",
            attention_size=128,
            label_smoothing=0.1,
            dropout=0.4,
            ctc_weight=0.5,
        ),
        augment=replace(VARIED_SPECTRA, from_epoch=5),
        batching=BatchingConfig(frames_per_batch=4000, utterances_per_batch=4, sorted_epochs=2),
        fit=replace(one_cycle(epochs=40, learning_rate=1.5e-3, batches_per_step=2), average_last=5),
        beam=Beam(width=8, ctc_weight=0.5),
    )
