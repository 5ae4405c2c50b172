"""Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1998, TR-10-98, section 3;
https://dash.harvard.edu/handle/1/25104739), one order after the other, on the disk.

p(w | h)  = (c(h w) - D(c(h w))) / C(h)  +  gamma(h) p(w | h')          h' is h without its first token
gamma(h)  = sum_w D(c(h w)) / C(h),    C(h) = sum_w c(h w)
D(c)      = 0, D1, D2, D3 for c = 0, 1, 2, 3 and more;    D_i = i - (i + 1) Y t_{i+1} / t_i,    Y = t1 / (t1 + 2 t2)
p(w)      = (c(w) - D(c(w))) / C  +  gamma / |V|

c is the count at the highest order and for n-grams that begin with <s>, else the number of different tokens before the
n-gram. t_i is the number of n-grams of the order with c = i. |V| is all that can be predicted: every token of the
tokenizer, seen or not, with </s> and <unk>, but neither <s> nor BLANK. <unk> is counted like any other token.
n-grams that are pruned give all their c to gamma, as KenLM has it, so that the sum over w stays 1.

The model of a lower order is the same but for its own highest order, where c is the count: it comes along for one more
division an n-gram.

Where an order has no n-grams with c = 1, 2 or 3, or the formula leaves (0, i] for a D_i, as on tiny or artificial texts
and with the few characters of an alphabet at order 1, its D are 0.5, 1 and 1.5 (KenLM's --discount_fallback).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.special_tokens import BLANK, BOS
from tasks.ngram.binary_file import Arrays
from tasks.ngram.count_ngrams import OrderCounts, contexts

FALLBACK = (0.5, 1.0, 1.5)
BLOCK_ROWS = 1 << 18  # smoothed at a time
FILES = {"keys": "<i8", "log10": "<f4", "p": "<f8", "top": "<f4"}  # of an order


@dataclass(frozen=True, slots=True)
class Discounts:
    """D1, D2, D3; found: by the formula, not the fallback."""

    values: tuple[float, float, float]
    found: bool

    def of(self, counts: np.ndarray) -> np.ndarray:
        return np.array([0.0, *self.values])[np.minimum(counts, 3).astype(np.int64)]


def discounts(times: Sequence[int]) -> Discounts:
    """From how many n-grams have c = 1, 2, 3 and 4."""
    if min(times[:3]) > 0:
        y = times[0] / (times[0] + 2 * times[1])
        d1, d2, d3 = (i - (i + 1) * y * times[i] / times[i - 1] for i in (1, 2, 3))
        if 0 < d1 <= 1 and 0 < d2 <= 2 and 0 < d3 <= 3:
            return Discounts((d1, d2, d3), found=True)
    return Discounts(FALLBACK, found=False)


@dataclass(frozen=True)
class SmoothedModel:
    """levels: of the model. discounts: of each order. lower: the levels of the models of orders 1, 2, ... if wanted."""

    levels: list[Arrays]
    discounts: list[Discounts]
    lower: list[list[Arrays]]


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order, mapped from files. p: in float64, what the next order is interpolated with.

    top: log10 p in the model whose highest order this is. backoff: 0 until the next order is made; under_top: the same
    in the model whose highest order is the next.
    """

    keys: np.ndarray
    log10: np.ndarray
    p: np.ndarray
    top: np.ndarray
    backoff: np.ndarray
    under_top: np.ndarray

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The nodes with these keys; -1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)


Weighing = tuple[int, Discounts]  # the column of the rows that is c, and what is taken from it
Block = Sequence[np.ndarray]  # of some n-grams of an order, what FILES has; top is empty where it is not wanted


def smooth(counts: Sequence[OrderCounts], prune: Sequence[int], folder: Path, *, lower: bool = False) -> SmoothedModel:
    """The model of the counts, in files of `folder`, with the models of all lower orders where they are wanted.

    prune: for each order, n-grams seen so often or less are left out; 0 at order 1, and never falling.
    """
    found, orders = [discounts(count.times) for count in counts], list[_Order]()
    for k, (count, discount) in enumerate(zip(counts, found, strict=True), 1):
        weighings = [(-2, discount)] + [(-1, discounts(count.times_seen))] * (lower and k < len(counts))
        blocks = _longer(count, weighings, prune[k - 1], orders) if orders else [_unigrams(count, weighings)]
        room = (k < len(counts), lower and k + 1 < len(counts))
        orders.append(_stored(blocks, Path(folder, str(k)), room))
    levels = [Arrays(order.keys, order.log10, order.backoff) for order in orders]
    under = [Arrays(order.keys, order.log10, order.under_top) for order in orders]
    tops = [Arrays(order.keys, order.top, np.zeros(0, "<f4")) for order in orders]
    smaller = [[*levels[: max(0, k - 1)], *under[max(0, k - 1) : k], tops[k]] for k in range(len(orders) - 1)]
    return SmoothedModel(levels, found, smaller if lower else [])


def _stored(blocks: Iterable[Block], folder: Path, room: tuple[bool, bool]) -> _Order:
    """The blocks one after the other in files, mapped. room: whether there will be a backoff, and an under_top."""
    folder.mkdir()
    with ExitStack() as stack:
        files = [stack.enter_context(Path(folder, name).open("wb")) for name in FILES]
        for block in blocks:
            for file, array, dtype in zip(files, block, FILES.values(), strict=True):
                array.astype(dtype).tofile(file)
    found = [_mapped(Path(folder, name), dtype) for name, dtype in FILES.items()]
    for name, wanted in zip(("backoff", "under_top"), room, strict=True):
        with Path(folder, name).open("wb") as file:
            file.truncate(4 * len(found[0]) * wanted)
        found.append(_mapped(Path(folder, name), "<f4"))
    return _Order(*found)


def _mapped(path: Path, dtype: str) -> np.ndarray:
    return np.memmap(path, dtype, "r+") if path.stat().st_size else np.zeros(0, dtype)


def _unigrams(count: OrderCounts, weighings: Sequence[Weighing]) -> Block:
    size = count.packing.size
    rows = count.run.read(0, len(count.run))
    found = []
    for column, discount in weighings:
        c = np.zeros(size)
        c[count.packing.unpack(rows)[0]] = rows[:, column]
        taken = discount.of(c)
        p = (c - taken) / c.sum() + taken.sum() / c.sum() / (size - 2)
        p[[BLANK, BOS]] = 0
        found.append(p)
    with np.errstate(divide="ignore"):
        return np.arange(size), np.log10(found[0]), found[0], np.log10(found[-1] if found[1:] else [])


def _longer(
    count: OrderCounts, weighings: Sequence[Weighing], prune: int, shorter: Sequence[_Order]
) -> Iterator[Block]:
    """The next order, block by block; the backoff of its contexts goes into the order below."""
    below, size = shorter[-1], count.packing.size
    for rows, starts in contexts(count, BLOCK_ROWS):
        tokens, kept = count.packing.unpack(rows), rows[:, -1] > prune
        context = _nodes(shorter, [column[starts] for column in tokens[:-1]])
        known = context >= 0  # where a context was pruned, so was all that follows it
        each = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))[kept]
        lower = below.p[_nodes(shorter, [column[kept] for column in tokens[1:]])]
        found = []
        for (column, discount), backoff in zip(weighings, (below.backoff, below.under_top), strict=False):
            c = rows[:, column].astype(np.float64)
            taken, total = discount.of(c), np.add.reduceat(c, starts)
            gamma = np.add.reduceat(np.where(kept, taken, c), starts) / total
            backoff[context[known]] = np.log10(gamma[known])
            found.append((c - taken)[kept] / total[each] + gamma[each] * lower)
        keys = context[each] * size + tokens[-1][kept]
        yield keys, np.log10(found[0]), found[0], np.log10(found[1] if found[1:] else [])


def _nodes(orders: Sequence[_Order], tokens: list[np.ndarray]) -> np.ndarray:
    """The nodes of n-grams given as columns of tokens."""
    node = tokens[0]
    for order, column in zip(orders[1:], tokens[1:], strict=True):
        node = order.find(np.where(node < 0, -1, node * len(orders[0].keys) + column))
    return node
