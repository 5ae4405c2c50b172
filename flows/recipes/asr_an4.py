"""AN4 as 13 cepstra, read through `--corpus an4:...`."""

from dataclasses import replace

from flows.recipes import Recipe
from flows.recipes.training import adam
from models import deep_speech_2, listen_attend_spell, rnn_transducer
from models.interface import Beam
from models.layers.stack import Recurrent
from tasks.augment import Augment
from tasks.corpus import Ingest
from tasks.features import FrontEnd
from tasks.plan import Batching


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


def rnn_transducer_an4() -> Recipe:
    """AN4's cepstra, 1.7 M parameters: for `--corpus an4:...`."""
    return replace(
        deep_speech_2_an4(),
        model=rnn_transducer.Config(
            stride=3,
            encoder=Recurrent(layers=3, hidden_size=160, bidirectional=True, dropout=0.3),
            embedding_size=64,
            prediction=Recurrent(layers=1, hidden_size=160),
            linear_size=0,
            joint_size=160,
            dropout=0.3,
            normalise=True,
        ),
        batching=Batching(frames_per_batch=4000, utterances_per_batch=8, sorted_epochs=2),
        fit=adam(epochs=60, learning_rate=2e-3),
        beam=Beam(width=8, max_length=400),
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
