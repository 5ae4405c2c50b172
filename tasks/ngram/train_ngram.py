"""Text to an n-gram language model: count, smooth, and write what searches and other programs read.

The artifact holds ngram.bin (tasks/ngram/binary_file.py), the tokenizer's files, summary.json (n-grams and discounts of
each order, what the text had) and, where asked for, ngram.arpa.gz and lower-1.bin, lower-2.bin, ... It does not depend
on how the text is divided into files, nor on how many workers there were.
"""

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.artifact_store import Artifact, Draft, new_draft, open_draft
from tasks.ngram.arpa_escapes import escape_tokens
from tasks.ngram.arpa_file import write_arpa
from tasks.ngram.binary_file import StoredNGram, build_model, load_ngram, write_binary
from tasks.ngram.count_ngrams import count_ngrams
from tasks.ngram.kneser_ney import smooth
from tasks.ngram.text_lines import LineSplitConfig
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import load_tokenizer

BINARY, ARPA, SUMMARY = "ngram.bin", "ngram.arpa.gz", "summary.json"
HIGHEST_ORDER = 16


@dataclass(frozen=True, kw_only=True)
class NGramConfig:
    """order: tokens of the longest n-grams. prune: for each order how often an n-gram may be seen and yet be left out,
    the last for all higher orders: (0, 0, 1) leaves out n-grams of 3 and more tokens that were seen once. arpa: write
    ngram.arpa.gz as well. lower: write the models of all lower orders as well, to see what each order is worth.
    """

    order: int = 3
    prune: tuple[int, ...] = ()
    arpa: bool = False
    lower: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "prune", tuple(self.prune))  # JSON brings lists
        if not 1 <= self.order <= HIGHEST_ORDER:
            raise ValueError(f"ngram.order is 1 to {HIGHEST_ORDER}, not {self.order}")
        if len(self.prune) > self.order:
            raise ValueError(f"ngram.prune has {len(self.prune)} numbers for {self.order} orders")
        if any(self.prune[:1]) or list(self.prune) != sorted(self.prune):
            raise ValueError(
                f"ngram.prune begins with 0, since every token stays, and never falls, unlike {self.prune}"
            )

    @property
    def thresholds(self) -> list[int]:
        """One for each order."""
        return [*self.prune, *[self.prune[-1] if self.prune else 0] * (self.order - len(self.prune))]


@dataclass(frozen=True, kw_only=True)
class NGramTrainingConfig:
    """What is made, and which lines it never sees."""

    ngram: NGramConfig = field(default_factory=NGramConfig)
    split: LineSplitConfig = field(default_factory=LineSplitConfig)


@step
def train_ngram(text: Artifact, tokenizer: Artifact, work: NGramTrainingConfig) -> Artifact:
    """The model of the counted sentences of a text, in the tokenizer's ids. Raises UserError for a text without any."""
    same_counts = NGramTrainingConfig(ngram=NGramConfig(order=work.ngram.order), split=work.split)
    drafted = open_draft("ngram", train_ngram.key(text, tokenizer, same_counts)[:32])
    with drafted.lock():
        model = _smoothed(text, tokenizer, work, drafted)
        drafted.discard()
    return model


def _smoothed(text: Artifact, tokenizer: Artifact, work: NGramTrainingConfig, drafted: Draft) -> Artifact:
    """drafted: holds what of the counting is done."""
    config, written = work.ngram, escape_tokens(load_tokenizer(tokenizer))
    counts, tally = count_ngrams(text, tokenizer, work.split, config.order, drafted)
    with tempfile.TemporaryDirectory() as folder, new_draft("ngram") as out:
        smoothed = smooth(counts, config.thresholds, Path(folder), lower=config.lower)
        for name, levels in zip(
            [BINARY, *lower_order_files(config.order)], [smoothed.levels, *smoothed.lower], strict=False
        ):
            write_binary(Path(folder, name), levels, written)
            out.put(name, Path(folder, name))
        if config.arpa:
            write_arpa(Path(folder, ARPA), build_model(smoothed.levels), written)
            out.put(ARPA, Path(folder, ARPA))
        for name in tokenizer.names():
            out.put(name, tokenizer.read(name))
        sizes = [len(level.keys) for level in smoothed.levels]
        told = [asdict(d) | {"seen": len(c.run)} for d, c in zip(smoothed.discounts, counts, strict=True)]
        summary = {"config": asdict(config), "split": asdict(work.split), "ngrams": sizes, "orders": told}
        out.put_json(SUMMARY, summary | {"text": asdict(tally)})
    return out.result()


def lower_order_files(order: int) -> list[str]:
    """The files of the models of lower orders, if there are any."""
    return [f"lower-{k}.bin" for k in range(1, order)]


def open_ngram(model: Artifact, name: str = BINARY) -> StoredNGram:
    """The model of an artifact, mapped into memory; name: of one of a lower order."""
    return load_ngram(model.file(name))
