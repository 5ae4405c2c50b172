"""BPE whose merges are left out at random: Provilkov et al. 2020, https://arxiv.org/abs/1910.13267, section 3.

Pieces, scores and order are those of a SentencePiece model, and so are the ids where nothing is left out. SentencePiece
itself leaves merges out too, but what its generator draws for a seed is the same within one process only, and a
training that is killed goes on in another.
"""

import heapq
from random import Random

from models.special_tokens import UNK

SPACE = "\u2581"  # as SentencePiece writes one


class BPESampler:
    """model: a SentencePiece model. Raises ValueError for one that is no BPE."""

    def __init__(self, model: bytes) -> None:
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
        proto.ParseFromString(model)
        if proto.trainer_spec.model_type != proto.trainer_spec.BPE:
            raise ValueError("these pieces are no BPE")
        self.ids = {piece.piece: number for number, piece in enumerate(proto.pieces) if piece.type == piece.NORMAL}
        self.ranks = {piece.piece: -piece.score for piece in proto.pieces if piece.type == piece.NORMAL}

    def cut(self, text: str, dropout: float, random: Random) -> list[int]:
        """A normalized text as ids, UNK for a character that is no piece; each merge is left out with this
        probability.
        """
        words = (SPACE + word for word in text.split())
        return [self.ids.get(piece, UNK) for word in words for piece in self._merge(word, dropout, random)]

    def _merge(self, word: str, dropout: float, random: Random) -> list[str]:
        """The pieces of a word. The best pair that there is comes first, of equal ones the left one."""
        symbols, after, before = list(word), list(range(1, len(word) + 1)), list(range(-1, len(word) - 1))
        waiting = list[tuple[float, int, int, str]]()

        def offer(left: int, right: int) -> None:
            if left >= 0 and right < len(word) and (rank := self.ranks.get(symbols[left] + symbols[right])) is not None:
                heapq.heappush(waiting, (rank, left, right, symbols[left] + symbols[right]))

        for left in range(len(word) - 1):
            offer(left, left + 1)
        while waiting:
            _, left, right, made = heapq.heappop(waiting)
            if not symbols[left] or not symbols[right] or symbols[left] + symbols[right] != made:
                continue  # one of them is part of another piece by now
            if dropout and random.random() < dropout:
                continue
            symbols[left], symbols[right] = made, ""
            after[left] = after[right]
            if after[left] < len(word):
                before[after[left]] = left
            offer(before[left], left)
            offer(left, after[left])
        return [symbol for symbol in symbols if symbol]
