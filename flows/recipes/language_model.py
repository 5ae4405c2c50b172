"""Language models of characters, named for the text whose number they have; any plain text will do."""

from dataclasses import replace

from flows.recipes import LanguageRecipe, rnn_ablation
from flows.recipes.fit_presets import one_cycle
from models import char_rnn, transformer_lm, unitary_rnn
from models.cells.lstm import Config as LSTMOptions
from models.layers.rnn_stack import Recurrent
from models.layers.weight_init import WeightInit
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig
from tasks.decoding.generate_text import Prompt
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.optimizer import FitConfig

VERB, MODEL_NAME = "documents", "language-model"  # what a corpus' reader must offer; what a model is registered as
PARTS = (rnn_ablation,)  # whose recipes are offered with these
LETTERS = TokenizerConfig(
    kind="characters", specials=False, text=AS_WRITTEN
)  # every character as it stands, and no other id

ORTHOGONAL = {
    "initialize": WeightInit(input="glorot", recurrent="orthogonal"),
    "lstm": LSTMOptions(forget_bias=1.0),
}


def char_rnn_fables() -> LanguageRecipe:
    """The lecture's network and protocol on `fabulistes.txt`: 30 epochs, Adam 0.01 halved every 10, clip 5."""
    return LanguageRecipe(
        model=char_rnn.Config(),
        tokens=LETTERS,
        chunks=ChunkConfig(length=60, held_out="anywhere", dev_share=0.2),
        batching=BatchingConfig(frames_per_batch=1 << 20, utterances_per_batch=64, sorted_epochs=0),
        fit=halving(epochs=30, learning_rate=0.01, every=10),
        prompt=Prompt(context="LA GRENOUILLE "),
    )


def halving(*, epochs: int, learning_rate: float, every: int) -> FitConfig:
    """Adam, its rate halved every so many epochs, gradients clipped at 5 (the lecture's character RNN)."""
    return FitConfig(
        epochs=epochs,
        optimizer="Adam",
        learning_rate=learning_rate,
        optimizer_options={},
        schedule="StepLR",
        schedule_options={"step_size": every, "gamma": 0.5},
        loss_normalization="token",
        clip_norm=5.0,
        best_by="loss",
    )


def char_rnn_fables_tuned() -> LanguageRecipe:
    """The same network, text and split with an orthogonal start, batches of 8, one-cycle rate: 1.413 nats, 56.1 %.

    Its chunks begin elsewhere each epoch.
    """
    lecture = char_rnn_fables()
    return replace(
        lecture,
        model=char_rnn.Config(recurrent=replace(lecture.model.recurrent, **ORTHOGONAL)),
        chunks=replace(lecture.chunks, shifted=True),
        batching=replace(lecture.batching, utterances_per_batch=8),
        fit=one_cycle(epochs=30, learning_rate=0.006, weight_decay=0.05, clip_norm=1.0, best_by="loss"),
    )


def char_rnn_fables_best() -> LanguageRecipe:
    """One LSTM of 448, 1.0 M parameters, dropout, weight noise and decay, the lecture's split; 1.385 nats, 56.8 %."""
    lecture = char_rnn_fables()
    return replace(
        lecture,
        model=char_rnn.Config(
            embedding_size=96,
            recurrent=Recurrent(layers=1, hidden_size=448, weight_noise=0.03, weight_noise_draw="batch", **ORTHOGONAL),
            readout=(),
            dropout=0.4,
        ),
        batching=replace(lecture.batching, utterances_per_batch=32),
        fit=one_cycle(epochs=25, learning_rate=3e-3, weight_decay=0.1, clip_norm=1.0, best_by="loss"),
    )


def char_rnn_shakespeare() -> LanguageRecipe:
    """One LSTM of 448 on tinyshakespeare, its state carried along 32 streams; dev, the last tenth: 1.449 nats."""
    return LanguageRecipe(
        model=char_rnn.Config(
            embedding_size=96,
            recurrent=Recurrent(layers=1, hidden_size=448, **ORTHOGONAL),
            readout=(),
            dropout=0.25,
        ),
        tokens=LETTERS,
        chunks=ChunkConfig(length=100, held_out="end", dev_share=0.1, carried=True),
        batching=BatchingConfig(frames_per_batch=1 << 20, utterances_per_batch=16, sorted_epochs=0),
        fit=replace(
            one_cycle(epochs=14, learning_rate=3e-3, weight_decay=0.05, clip_norm=1.0, best_by="loss"),
            batches_per_step=2,
        ),
        prompt=Prompt(context="ROMEO:\n"),
    )


def char_rnn_fables_rtrl() -> LanguageRecipe:
    """Elman's network of 24 units learns online by RTRL: an update after each character of 64 streams.

    12 minutes of one core. Dev, the last tenth: 1.943 nats, 42.6 %. Truncated back-propagation (`--set
    model.recurrent.cell=elman`) has 2.012 nats, 40.2 % through one step, and 1.937, 42.5 % through 20 (`--set
    chunks.reach=20`).
    """
    return LanguageRecipe(
        model=char_rnn.Config(embedding_size=0, recurrent=Recurrent(cell="elman_rtrl", hidden_size=24), readout=()),
        tokens=LETTERS,
        chunks=ChunkConfig(length=1, held_out="end", dev_share=0.1, carried=True),
        batching=BatchingConfig(frames_per_batch=1 << 20, utterances_per_batch=64, sorted_epochs=0),
        fit=replace(
            one_cycle(epochs=5, learning_rate=4e-3, weight_decay=0.0, clip_norm=1.0, best_by="loss"),
            checkpoint_steps=2000,
        ),
        prompt=Prompt(context="LA GRENOUILLE "),
    )


def echo_state_fables_ridge() -> LanguageRecipe:
    """`cell_echo_state` with its read-out in closed form, ridge regression in one pass: 2.187 nats, 42.0 %.

    On the same split gradient descent on the cross-entropy, for which no score is negative, has 1.890 nats, 43.5 %.
    """
    descent = rnn_ablation.cell_echo_state()
    return replace(descent, model=replace(descent.model, ridge=1.0), fit=replace(descent.fit, epochs=1))


def transformer_lm_fables() -> LanguageRecipe:
    """A Transformer of 4 layers of 160 that sees 256 characters, on `fabulistes.txt`: 1.359 nats, 57.5 %."""
    return LanguageRecipe(
        model=small_transformer(dropout=0.1),
        tokens=LETTERS,
        chunks=ChunkConfig(length=256, held_out="anywhere", dev_share=0.2, shifted=True),
        batching=BatchingConfig(frames_per_batch=1 << 20, utterances_per_batch=8, sorted_epochs=0),
        fit=one_cycle(epochs=11, learning_rate=3e-3, weight_decay=0.1, clip_norm=1.0, best_by="loss"),
        prompt=Prompt(context="LA GRENOUILLE "),
    )


def transformer_lm_tinyshakespeare() -> LanguageRecipe:
    """The same Transformer on tinyshakespeare, its dev the last tenth of the text: 1.515 nats."""
    fables = transformer_lm_fables()
    return replace(
        fables,
        chunks=replace(fables.chunks, held_out="end", dev_share=0.1),
        fit=replace(fables.fit, epochs=8),
        prompt=Prompt(context="ROMEO:\n"),
    )


def unitary_rnn_fables() -> LanguageRecipe:
    """A unitary network of 256 complex units, as many parameters as the lecture's: 1.670 nats, 49.4 %."""
    lecture = char_rnn_fables()
    return replace(
        lecture,
        model=unitary_rnn.Config(hidden_size=256),
        batching=replace(lecture.batching, utterances_per_batch=32),
        fit=one_cycle(epochs=20, learning_rate=3e-3, weight_decay=0.0, clip_norm=1.0, best_by="loss"),
    )


def small_transformer(*, dropout: float) -> transformer_lm.Config:
    return transformer_lm.Config(
        size=160,
        heads=4,
        feed_forward_size=640,
        layers=4,
        norm="pre",
        positions="rotary",
        context=0,
        dropout=dropout,
    )
