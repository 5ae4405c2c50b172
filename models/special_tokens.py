"""Token ids. The special ids are constants of the project, so no signature carries them."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

PAD = BLANK = 0  # padding is masked by lengths, so the CTC and transducer blank can share its id
BOS, EOS, UNK = 1, 2, 3
SPECIALS = ("<blank>", "<s>", "</s>", "<unk>")


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back; `len` is the vocabulary with the special ids."""

    def __len__(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, tokens: Sequence[int]) -> str: ...
