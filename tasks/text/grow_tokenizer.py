"""A trained model's tokenizer for new transcripts: every token keeps its id, and what they need beyond is appended.

Characters and words that are not there yet come after the old ones. A SentencePiece model gets a piece for each new
character, less probable than all others, so that what could be written before is cut as before.
"""

import logging
from collections.abc import Iterable

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from models.special_tokens import UNK
from tasks.steps.pipeline_step import step
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import (
    FILE,
    MODEL,
    LabelVocabulary,
    SentencePieceTokenizer,
    SymbolTokenizer,
    load_tokenizer,
    training_texts,
)

log = logging.getLogger(__name__)

SHOWN = 20  # new tokens that the line names
MOST_CHARACTERS = 8000  # that there may be: more are no letters of a language, as `TokenizerConfig` has it
BEHIND = 1.0  # how much less than the rarest piece a new one scores


@step
def grow_tokenizer(shards: Artifact, tokenizer: Artifact) -> Artifact:
    """The tokenizer of a trained model with what the training split's transcripts need; the same where that is nothing.

    Raises UserError for more characters than a language has.
    """
    return grow_for_texts(training_texts(shards), tokenizer)


def grow_for_texts(texts: Iterable[str], tokenizer: Artifact) -> Artifact:
    """The same for texts from anywhere."""
    known = load_tokenizer(tokenizer)
    assert not isinstance(known, LabelVocabulary), "labels are not made of characters"
    new = sorted(_missing((normalize_text(text, known.text) for text in texts), known))
    rules, contents = tokenizer.read_json(FILE), {name: tokenizer.read(name) for name in tokenizer.names()}
    if new:
        shown = " ".join(map(repr, new[:SHOWN])) + (" ..." if len(new) > SHOWN else "")
        log.warning("the vocabulary grows from %d to %d tokens: %s", len(known), len(known) + len(new), shown)
    with new_draft("tokenizer") as out:
        if isinstance(known, SentencePieceTokenizer):
            contents[MODEL] = _with_pieces(contents[MODEL], new) if new else contents[MODEL]
        elif new:
            rules["symbols"] = [*rules["symbols"], *new]
        for name in contents.keys() - {FILE}:
            out.put(name, contents[name])
        out.put_json(FILE, rules)
    return out.result()


def _missing(texts: Iterable[str], known: SymbolTokenizer | SentencePieceTokenizer) -> set[str]:
    """The characters, or words, of normalized texts that the tokenizer has no token for."""
    if known.text.alphabet:
        return set()  # transcripts with others are left out
    words, found = isinstance(known, SymbolTokenizer) and bool(known.separator), set[str]()
    for text in texts:
        found.update(text.split() if words else text)
    if isinstance(known, SymbolTokenizer):
        new = found - set(known.symbols)
    else:
        new = {letter for letter in found if not letter.isspace() and known.model.PieceToId(letter) == UNK}
    if not words and len(new) + len(known) > MOST_CHARACTERS:
        told = f"the model does not write {len(new)} characters of the transcripts, {MOST_CHARACTERS:,} are the most"
        raise UserError(f"{told}; normalize them, or train a model from scratch")
    return new


def _with_pieces(model: bytes, letters: list[str]) -> bytes:
    """A SentencePiece model with more pieces, of one character each."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    proto.ParseFromString(model)
    least = min(piece.score for piece in proto.pieces)
    for number, letter in enumerate(letters, start=1):
        proto.pieces.add(piece=letter, score=least - BEHIND * number, type=proto.SentencePiece.NORMAL)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return proto.SerializeToString(deterministic=True)
