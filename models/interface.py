"""The few types every architecture, criterion and search share. Read this file first.

Dimensions, here and everywhere below:
    B  utterances in a batch          T  source steps (frames, source tokens, places)
    U  target tokens                  V  target vocabulary       D  features of a vector
    N  live hypotheses in a search (B x beam width)
Padding is always on the right; axis 0 of every tensor in a decoder state is the batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

State = Any  # a tree (tuple, NamedTuple, dict) of tensors whose axis 0 is the batch


@dataclass(frozen=True, slots=True)
class Memory:
    """What a decoder knows of its sources: `data`, a tree of tensors whose axis 0 is the batch, as it wishes.

    lengths: (B,) the steps of each that it can attend to, or has read.
    """

    data: State
    lengths: Tensor


@dataclass(frozen=True, slots=True)
class Padded(Memory):
    """A batch of right-padded sequences: `data` (B, T, ...) and the true `lengths` (B,)."""

    data: Tensor

    @classmethod
    def stack(cls, sequences: Sequence[Tensor], fill: float = 0) -> "Padded":
        lengths = torch.tensor([len(s) for s in sequences])
        return cls(nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=fill), lengths)

    def mask(self) -> Tensor:
        """(B, T) bool, true on real steps."""
        return torch.arange(self.data.shape[1], device=self.data.device) < self.lengths.to(self.data.device)[:, None]

    def to(self, device: torch.device | str) -> "Padded":
        return Padded(self.data.to(device), self.lengths.to(device))


@dataclass(frozen=True, slots=True)
class Batch:
    """Aligned sources and targets.

    source: audio frames (B, T, D), source tokens (B, T), annotation vectors of L places of a photo (B, L, D), or None
        for the sentences of a language model. target: token ids (B, U). Tokens of both come without BOS and EOS.
    """

    keys: tuple[str, ...]
    source: Padded | None
    target: Padded

    @property
    def given(self) -> Padded:
        """The source. Raises ValueError for sentences."""
        if self.source is None:
            raise ValueError("the model needs a source, and this batch has none")
        return self.source

    def to(self, device: torch.device | str) -> "Batch":
        return Batch(self.keys, self.source and self.source.to(device), self.target.to(device))


class Loss(NamedTuple):
    """A summed loss in nats and the number of targets it sums over, so means stay exact across ranks.

    What is shown and compared is nats a target, total / count; what an update goes by, nats a sequence or a target, is
    `FitConfig.loss_normalization`.
    """

    total: Tensor
    count: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]

    def mean(self) -> Tensor:
        return self.total / self.count


class Hypothesis(NamedTuple):
    """One result of a search.

    score: as `Beam` defines it, in nats. spans: for each token the model's output steps it takes,
    [first, last), where the search knows them. confidence: in [0, 1], the geometric mean of the
    token probabilities; nan where the search does not know it. truncated: it is as long as the search allows.
    """

    tokens: tuple[int, ...]
    score: float
    spans: tuple[tuple[int, int], ...] = ()
    confidence: float = float("nan")
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Beam:
    """How a search ranks a hypothesis y of a source x:

        log p(y|x) / ((5 + |y|) / 6)^length_norm  +  coverage * cp(x, y)
            +  lm_weight * log p_lm(y)  +  ctc_weight * log p_ctc(y|x)  +  insertion_bonus * |y|
        +  what models/search/language/lexicon_and_hotwords.py says of words.

    width: so many hypotheses are kept and returned; 1 is the greedy search. length_norm, coverage, lm_weight,
    ctc_weight, insertion_bonus: the weights of these terms. word_bonus, unknown_bonus, hotword_weight: nats for each
    word, for one outside the lexicon, for one that is listened for. max_length: tokens at most, 0 for no limit but that
    of a search which may not end without (models/search/length_limit.py). groups, diversity: so many beams of width /
    groups, each kept from what those before it take (models/search/attention/beam.py). mbr_scale: above 0 the best has
    the least Bayes risk (minimum_bayes_risk.py there). lexicon_only: only words of the lexicon, and hotwords.
    skip_blank: a CTC search reads a step whose blank is more probable than this as blank; 1 skips none. A search
    refuses a non-zero term it does not implement, rather than ignore it.
    """

    width: int = 8
    max_length: int = 0
    length_norm: float = 0.0
    coverage: float = 0.0
    lm_weight: float = 0.0
    ctc_weight: float = 0.0
    insertion_bonus: float = 0.0
    word_bonus: float = 0.0
    unknown_bonus: float = 0.0
    hotword_weight: float = 0.0
    lexicon_only: bool = False
    skip_blank: float = 1.0
    groups: int = 1
    diversity: float = 0.0
    mbr_scale: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type is float:
                object.__setattr__(self, field.name, value := float(getattr(self, field.name)))  # 1 is 1.0
                if not math.isfinite(value):
                    raise ValueError(f"beam.{field.name} is a finite number, not {value}")
        if not 0 < self.skip_blank <= 1:
            raise ValueError(f"beam.skip_blank is a probability above 0 and at most 1, not {self.skip_blank}")
        for name, least in (("width", 1), ("max_length", 0), ("mbr_scale", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"beam.{name} is {least} or more, not {value}")
        if self.groups < 1 or self.width % self.groups or (self.groups > 1) != (self.diversity > 0):
            groups = f"{self.groups}, {self.width}, {self.diversity}"
            raise ValueError(f"beam.groups divides beam.width, and 2 or more have a beam.diversity above 0: {groups}")

    def beyond(self, *terms: str) -> list[str]:
        """What is set beside these terms, which a search has: it refuses the rest."""
        known = {"width", "max_length", *terms}
        return [f.name for f in fields(self) if f.name not in known and getattr(self, f.name) != f.default]


class Model(nn.Module, ABC):
    """One architecture. `models/<name>.py` holds its `Config` (defaults: the paper's) and its `Model`."""

    config: Any
    reduction: int = 1  # source steps for each output step
    reads: Literal["frames", "tokens"] = "frames"  # what its source is: (B, T, D), or ids (B, T)

    @abstractmethod
    def loss(self, batch: Batch) -> Loss: ...

    @abstractmethod
    def search(self, source: Padded, beam: Beam, lm: "Decoder | None" = None) -> list[list[Hypothesis]]:
        """For each source its hypotheses, best first."""

    def forward(self, batch: Batch) -> Loss:
        """The training step, under the name DistributedDataParallel hooks."""
        return self.loss(batch)


@runtime_checkable
class EmissionModel(Protocol):
    """What frame-synchronous searches, alignment and the report ask of a model."""

    reduction: int

    def emit(self, source: Padded) -> Padded:
        """Frames (B, T, D) to log-probabilities (B, ceil(T / reduction), V)."""
        ...


@runtime_checkable
class FrameSynchronousModel(EmissionModel, Protocol):
    """An `EmissionModel` whose search asks for its emissions alone."""

    def search_emissions(
        self, emissions: Padded, beam: Beam, lm: "Decoder | None" = None
    ) -> list[list[Hypothesis]]: ...


@runtime_checkable
class Classifier(Protocol):
    """What asks for one label a sequence: its target is the label's id (B, 1), its search ranks the labels."""

    def classify(self, source: Padded) -> Tensor:
        """A source (B, T, ...) to the log-probabilities (B, V) of the labels."""
        ...


class Step(NamedTuple):
    log_probs: Tensor  # (N, V)
    state: State
    attention: Tensor | None = None  # (N, T), rows sum to 1


@runtime_checkable
class Decoder(Protocol):
    """What searches and LM fusion ask of an autoregressive model; a language model has no memory.

    A memory of B rows serves N = B K hypotheses, the first K of them row 0, and so on: it is not repeated for each.
    """

    def encode(self, source: Padded | None) -> Memory | None: ...
    def start(self, memory: Memory | None, batch_size: int) -> State: ...
    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step: ...


@runtime_checkable
class Transducer(Protocol):
    """What transducer searches ask of a model: Pr(k | t, u), of a frame t and a prefix y_1 .. y_u (Graves 2012)."""

    def encode(self, source: Padded) -> Padded:
        """A source (B, T, D) to its frames (B, T', J)."""
        ...

    def start(self, batch_size: int) -> tuple[Tensor, State]:
        """Of the empty prefix what `join` takes (N, J), and the state after it."""
        ...

    def predict(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The same of prefixes with one more token (N,) each."""
        ...

    def join(self, frames: Tensor, prefixes: Tensor) -> Tensor:
        """Frames (N, J) and prefixes (N, J) to the log-probabilities (N, V) of what comes next, blank among it."""
        ...


@runtime_checkable
class LanguageModel(Decoder, Protocol):
    """A `Decoder` without memory that also reads many tokens at once: p(y_t | y_1 .. y_{t-1}).

    Its `loss` and `advance` take two kinds of batch. Sentences have no source: BOS and the target predict the target
    and EOS. A stream has a source (B, T) aligned with its target (B, T), the next token of each; nothing is added.
    Its `search` continues each source, tokens (B, T) as the model was trained to read them (BOS first for sentences),
    until EOS or a limit of length; `encode` returns None.
    """

    def advance(self, batch: Batch, state: State | None) -> tuple[Loss, State]:
        """The loss of a batch that goes on where `state` ended, and the state at each row's own end; None starts."""
        ...

    def predict(self, tokens: Padded, state: State | None) -> tuple[Padded, State]:
        """Tokens (B, T) to the log-probabilities (B, T, V) of each one's successor, and the state after them."""
        ...


class Cell(Protocol):
    """One time step of a recurrence: s_t = step(drive(x_t), s_{t-1}), y_t = read(s_t); calling it does all three.

    `drive` and `read` know one step only, so an unroll does them for all steps at once. A state is a tree of tensors
    whose axis 0 is the batch; it also holds what is drawn once a sequence. state_sizes: the features of its first
    leaves, those that begin at zero and that an unroll may learn to begin elsewhere.
    """

    output_size: int
    state_sizes: tuple[int, ...]

    def begin(self, batch_size: int) -> State: ...

    def redraw(self, state: State) -> State:
        """The state at the start of a sequence that goes on where another ended: what is drawn once a sequence anew."""
        ...

    def drive(self, x: Tensor) -> Tensor:
        """(..., D) to (..., G): what a step takes from its input alone."""
        ...

    def step(self, driven: Tensor, state: State) -> State:
        """Driven (B, G) and the state before to the state after."""
        ...

    def read(self, state: State) -> Tensor:
        """A state, or a stack of them, to outputs (..., H)."""
        ...

    def scan(self, driven: Tensor, state: State) -> State:
        """Driven (T, B, G), T > 0, to the states after each step, stacked: leaves (T, B, ...)."""
        ...

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, D) and the state before to y (B, H) and the state after."""
        ...
