"""A search without anything to hear: whether it takes a beam is known before anything is read."""

from typing import Any

import torch

from models.interface import Beam, Decoder, FrameSynchronousModel, Model, Padded
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.search.language.ngram_lm import Level, NGram
from models.special_tokens import SPECIALS
from tasks.features.front_end import FrontEnd, feature_size

GIVEN_SIZE = 80  # of frames that a corpus brings, which is not known before they are read
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
TEXTS = ("",) * len(SPECIALS) + (" ", *LETTERS)  # a tokenizer's, for the time being


def dry_run_search(config: Any, front_end: FrontEnd, beam: Beam, unit: str) -> Model:
    """The model, without memory. Raises ValueError for a term of the beam that the search of this config's model does
    not have, or has nothing to work on. unit: of the language model that it is given, "words", "tokens" or "none".

    The model's own search is called with no utterances; its weights are on the meta device and take no memory.
    """
    size = feature_size(front_end, GIVEN_SIZE)
    with torch.device("meta"):
        model: Model = config.build(size, len(TEXTS))
    model.eval()
    lm, nobody = dummy_lm(unit), torch.empty(0, dtype=torch.long)
    if isinstance(model, FrameSynchronousModel):
        model.search_emissions(Padded(torch.empty(0, 1, len(TEXTS)), nobody), beam, lm)
    else:
        model.search(Padded(torch.empty(0, 1, size, device="meta"), nobody), beam, lm)
    return model


def dry_run_translation(config: Any, beam: Beam) -> None:
    """The same of a model that reads tokens."""
    with torch.device("meta"):
        model: Model = config.build(len(TEXTS), len(TEXTS))
    nothing = torch.empty(0, 1, dtype=torch.long, device="meta")
    model.eval().search(Padded(nothing, torch.empty(0, dtype=torch.long)), beam)


def dummy_lm(unit: str) -> Decoder | None:
    """A language model of this unit that knows next to nothing."""
    if unit == "none":
        return None
    if unit == "tokens":
        return _unigrams(len(TEXTS))
    return LexiconAndHotwords(
        TEXTS, LETTERS[:1], ngram=_unigrams(len(SPECIALS) + 1), spellings=(*SPECIALS, *LETTERS[:1])
    )


def _unigrams(size: int) -> NGram:
    return NGram((Level(torch.arange(size), torch.zeros(size), torch.empty(0)),))
