"""Every cell and every regularizer as a character language model under one budget: `flows.compare --recipes 'cell_*'`.

The same for all: text, split, chunks of 60, batches of 64, optimizer, schedule, number of updates, embedding of 64, two
layers, read-out of 128 and 128 (the lecture's network), and its 111,657 parameters within 5 %, for a vocabulary of
105 characters: each network's size is the one whose count comes closest. Regularizers are at mild rates, for the budget
is too small to overfit in: the table shows what they cost, not what they save on a longer run.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from flows.recipes import LanguageRecipe
from models import char_rnn, echo_state_lm, gated_conv_lm
from models.cells.deep_transition import Config as TransitionOptions
from models.cells.elman_jordan import Config as ElmanOptions
from models.cells.gru import Config as GRUOptions
from models.cells.lstm import Config as LSTMOptions
from models.layers.rnn_stack import Recurrent
from models.layers.weight_init import WeightInit
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig
from tasks.decoding.generate_text import Prompt
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.optimizer import FitConfig

PARAMETERS, VOCABULARY, LARGEST = 111_657, 105, 2048


def cell_elman() -> LanguageRecipe:
    """Elman's network, tanh."""
    return with_recurrent(Recurrent(cell="elman", layers=2))


def cell_elman_orthogonal() -> LanguageRecipe:
    """Elman's network, tanh, its recurrent matrices orthogonal at first."""
    how = WeightInit(recurrent="orthogonal", bias="zero")
    return with_recurrent(Recurrent(cell="elman", layers=2, initialize=how))


def cell_elman_clipped_relu() -> LanguageRecipe:
    """Elman's network with min(max(z, 0), 20), as in Deep Speech."""
    return with_recurrent(Recurrent(cell="elman", layers=2, elman=ElmanOptions(nonlinearity="clipped_relu")))


def cell_irnn() -> LanguageRecipe:
    """IRNN: Elman's network with relu, its recurrent matrices the identity at first (Le et al. 2015)."""
    how = WeightInit(input="normal", input_scale=0.001, recurrent="identity", bias="zero")
    return with_recurrent(Recurrent(cell="elman", layers=2, elman=ElmanOptions(nonlinearity="relu"), initialize=how))


def cell_jordan() -> LanguageRecipe:
    """Jordan's network, tanh: the output comes back, not the hidden layer."""
    return with_recurrent(Recurrent(cell="jordan", layers=2))


def cell_lstm() -> LanguageRecipe:
    """LSTM without peepholes, torch's kernel: the lecture's network itself."""
    return with_recurrent(Recurrent(layers=2))


def cell_lstm_peepholes() -> LanguageRecipe:
    """LSTM with peepholes, the net that Greff et al. 2017 change."""
    return with_recurrent(peephole(LSTMOptions()))


def cell_lstm_nig() -> LanguageRecipe:
    """LSTM with peepholes, no input gate (NIG)."""
    return with_recurrent(peephole(LSTMOptions(input_gate=False)))


def cell_lstm_nfg() -> LanguageRecipe:
    """LSTM with peepholes, no forget gate (NFG)."""
    return with_recurrent(peephole(LSTMOptions(forget_gate=False)))


def cell_lstm_nog() -> LanguageRecipe:
    """LSTM with peepholes, no output gate (NOG)."""
    return with_recurrent(peephole(LSTMOptions(output_gate=False)))


def cell_lstm_niaf() -> LanguageRecipe:
    """LSTM with peepholes, no input activation function (NIAF)."""
    return with_recurrent(peephole(LSTMOptions(input_activation=False)))


def cell_lstm_noaf() -> LanguageRecipe:
    """LSTM with peepholes, no output activation function (NOAF)."""
    return with_recurrent(peephole(LSTMOptions(output_activation=False)))


def cell_lstm_cifg() -> LanguageRecipe:
    """LSTM with peepholes, coupled input and forget gate (CIFG)."""
    return with_recurrent(peephole(LSTMOptions(coupled=True)))


def cell_lstm_fgr() -> LanguageRecipe:
    """LSTM with peepholes, full gate recurrence (FGR)."""
    return with_recurrent(peephole(LSTMOptions(gate_recurrence=True)))


def cell_lstm_layer_norm() -> LanguageRecipe:
    """LSTM, layer normalized (Ba et al. 2016)."""
    return with_recurrent(Recurrent(layers=2, lstm=LSTMOptions(layer_norm=True)))


def cell_lstm_uniform() -> LanguageRecipe:
    """LSTM, every recurrent weight from U(-0.08, 0.08) at first (Sutskever et al. 2014)."""
    how = WeightInit(
        input="uniform",
        input_scale=0.08,
        recurrent="uniform",
        recurrent_scale=0.08,
        bias="uniform",
        bias_scale=0.08,
    )
    return with_recurrent(Recurrent(layers=2, initialize=how))


def cell_lstm_forget_bias() -> LanguageRecipe:
    """LSTM, its forget gates' biases 1 at first (Gers et al. 2000, Jozefowicz et al. 2015)."""
    return with_recurrent(Recurrent(layers=2, lstm=LSTMOptions(forget_bias=1.0)))


def cell_lstm_learned_start() -> LanguageRecipe:
    """LSTM, its initial states are parameters."""
    return with_recurrent(Recurrent(layers=2, learn_start=True))


def cell_lstm_dropout() -> LanguageRecipe:
    """LSTM, dropout of 0.1 between its layers (Zaremba et al. 2014)."""
    return with_recurrent(Recurrent(layers=2, dropout=0.1))


def cell_lstm_rnn_drop() -> LanguageRecipe:
    """LSTM, rnnDrop of 0.1: one mask of cells a sequence (Moon et al. 2015)."""
    return with_recurrent(Recurrent(layers=2, lstm=LSTMOptions(drop=0.1)))


def cell_lstm_zoneout() -> LanguageRecipe:
    """LSTM, ZoneOut of 0.05 for h and 0.1 for c (Krueger et al. 2017, who take 0.05 and 0.5 for a long run)."""
    return with_recurrent(Recurrent(layers=2, zoneout=0.05, zoneout_cell=0.1))


def cell_lstm_input_noise() -> LanguageRecipe:
    """LSTM, noise of deviation 0.1 on its input."""
    return with_recurrent(Recurrent(layers=2, input_noise=0.1))


def cell_lstm_weight_noise() -> LanguageRecipe:
    """LSTM, noise of deviation 0.01 on its weights, one draw a sequence (Graves et al. 2013, who take 0.075)."""
    return with_recurrent(Recurrent(layers=2, weight_noise=0.01))


def cell_gru() -> LanguageRecipe:
    """GRU, the reset outside the matrix product: the lecture's and torch's kernel."""
    return with_recurrent(Recurrent(cell="gru", layers=2))


def cell_gru_inside() -> LanguageRecipe:
    """GRU, the reset inside the matrix product: the paper's (Cho et al. 2014)."""
    return with_recurrent(Recurrent(cell="gru", layers=2, gru=GRUOptions(reset="inside")))


def cell_gru_layer_norm() -> LanguageRecipe:
    """GRU, layer normalized, the reset outside the matrix product (Ba et al. 2016)."""
    return with_recurrent(Recurrent(cell="gru", layers=2, gru=GRUOptions(layer_norm=True)))


def cell_dt() -> LanguageRecipe:
    """Deep transition of two layers (DT-RNN, Pascanu et al. 2014)."""
    return with_recurrent(Recurrent(cell="deep_transition", layers=2))


def cell_dt_shortcut() -> LanguageRecipe:
    """Deep transition of two layers and a shortcut past them (DT(S)-RNN)."""
    return with_recurrent(Recurrent(cell="deep_transition", layers=2, transition=TransitionOptions(shortcut=True)))


def cell_dot() -> LanguageRecipe:
    """Deep transition and deep output (DOT-RNN)."""
    return with_recurrent(Recurrent(cell="deep_transition", layers=2, transition=TransitionOptions(output_depth=1)))


def cell_dot_shortcut() -> LanguageRecipe:
    """Deep transition, shortcut and deep output (DOT(S)-RNN)."""
    options = TransitionOptions(shortcut=True, output_depth=1)
    return with_recurrent(Recurrent(cell="deep_transition", layers=2, transition=options))


def cell_echo_state() -> LanguageRecipe:
    """Echo state network: a fixed random reservoir; the parameters are those of its read-out."""
    return fit_to_parameter_budget(lambda size: echo_state_lm.Config(hidden_size=size))


def cell_gated_convnet() -> LanguageRecipe:
    """Gated convolutional network, no recurrence: six layers of width 4, 19 characters of context."""
    return fit_to_parameter_budget(lambda size: gated_conv_lm.Config(embedding_size=64, blocks=(((4, size),),) * 6))


def peephole(options: LSTMOptions) -> Recurrent:
    """The net of Greff et al. with these options: peepholes for the gates there are."""
    return Recurrent(layers=2, lstm=replace(options, peepholes=True))


def with_recurrent(recurrent: Recurrent) -> LanguageRecipe:
    """The lecture's network with other recurrent layers, their hidden size as the budget has it."""
    return fit_to_parameter_budget(lambda size: char_rnn.Config(recurrent=replace(recurrent, hidden_size=size)))


def fit_to_parameter_budget(sized: Callable[[int], Any]) -> LanguageRecipe:
    """The recipe of the size of network that comes closest to the lecture's number of parameters."""
    sizes = range(1, LARGEST)
    at = bisect_left(sizes, PARAMETERS, key=lambda size: count_parameters(sized(size)))
    model = min(
        map(sized, sizes[max(0, at - 1) : at + 1]), key=lambda config: abs(count_parameters(config) - PARAMETERS)
    )
    return LanguageRecipe(
        model=model,
        tokens=TokenizerConfig(kind="characters", specials=False, text=AS_WRITTEN),
        chunks=ChunkConfig(length=60, held_out="anywhere", dev_share=0.2),
        batching=BatchingConfig(frames_per_batch=1 << 20, utterances_per_batch=64, sorted_epochs=0),
        fit=FitConfig(
            epochs=4,
            optimizer="Adam",
            learning_rate=0.01,
            optimizer_options={},
            schedule="OneCycleLR",
            schedule_options={"pct_start": 0.2},
            schedule_every="step",
            loss_normalization="token",
            clip_norm=1.0,
            best_by="loss",
        ),
        prompt=Prompt(context="LA GRENOUILLE "),
    )


def count_parameters(config: Any) -> int:
    """How many a config's network has, for a vocabulary of 105; nothing is computed."""
    with torch.device("meta"):
        return sum(p.numel() for p in config.build(VOCABULARY, VOCABULARY).parameters())
