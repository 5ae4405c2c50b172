"""What corpora call their splits: train, dev and test in any spelling, as a column's value, a file or a folder.

A name is words between anything that is no letter: train-clean-100, dev_other, `Test `, eval2000, VALIDATION,
validation-00000-of-00001. Of two splits in one name, train_dev and test_dev93 are dev, as Kaldi and ESPnet mean it; any
other such name says neither. `eval` is Kaldi's test set; only where a corpus has a test set beside it and no dev set,
as many on Hugging Face have, it is the dev set.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from tasks.corpora.utterance import SPLITS

EVAL = "eval"
MEANINGS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "dev": "dev",
    "devel": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "testing": "test",
    "tst": "test",
    EVAL: EVAL,
    "evaluation": EVAL,
}
SHORT = {"tr": "train", "dt": "dev", "et": "test"}  # of WSJ and CHiME, before two digits: tr05_real, si_et_05
ENDINGS = re.compile(r"(set|split|data|clean|other)?s?$")  # testset, trainsplit
DEV_OF = {("train", "dev"), ("test", "dev")}
NOT = {"not", "exclude", "excluded", "except", "unused", "invalid", "invalidated", "rejected"}
QUALITIES = {"clean", "other"}
# Common Voice's lists beside its splits: every clip that was voted for, voted down, or not yet voted on.
VALIDATED = "validated"
NOT_SPLITS = {VALIDATED, "invalidated", "other"}
KNOWN = "splits are train, dev (val, valid, validation) and test (eval), as words of any name such as test-clean"


def resolve_splits(names: Iterable[str]) -> dict[str, str]:
    """For each of all the names that a corpus uses "train", "dev" or "test"; those that say none are left out."""
    found = {name: meaning for name in names if (meaning := _meaning(name))}
    meanings = set(found.values())
    of_eval = "dev" if "test" in meanings and "dev" not in meanings else "test"
    return {name: of_eval if meaning == EVAL else meaning for name, meaning in found.items()}


def split_in_path(path: str, corpus: str = "") -> str:
    """The part of a path that names a split, the innermost first; else the last part of the corpus' own place, where
    it says nothing else. "" where none does.
    """
    inside = (part for part in reversed(path.split("/")) if _meaning(part))
    last = corpus.rstrip("/").rpartition("/")[2]
    return next(inside, last if _meaning(last) and _says_nothing_else(last) else "")


@lru_cache(1 << 16)
def _meaning(name: str) -> str:
    """ "train", "dev", "test", "eval", or "" for none and for several."""
    words = _words(name)
    if NOT & set(words):
        return ""
    found = list(dict.fromkeys(meaning for word in words if (meaning := _of_word(word))))
    if "test" in found and EVAL in found:
        found.remove(EVAL)  # test_eval92
    if tuple(found) in DEV_OF:
        return "dev"
    if not found:
        found = [SHORT[short] for short in re.findall(r"(?<![a-z])(tr|dt|et)[-_]?\d\d(?!\d)", name.lower())]
    return found[0] if len(set(found)) == 1 else ""


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", name)
    return re.split(r"[\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).casefold())


def _of_word(word: str) -> str:
    return MEANINGS.get(word) or MEANINGS.get(ENDINGS.sub("", word), "")


def _says_nothing_else(name: str) -> bool:
    stem = re.sub(r"(\.tar)?(\.gz)?$|\.tgz$|\.zip$", "", name.lower())
    return all(not word or word in QUALITIES or _of_word(word) for word in _words(stem))


def unknown_split(said: str, where: str) -> tuple[str, str]:
    """Reason and detail of the reject of a row that says a split which is none, or says nothing."""
    if not said:
        return "no split", f"{where} is empty; {KNOWN}"
    return "unknown split", f"{said[:80]!r} in {where}; {KNOWN}"


def order(splits: Iterable[str]) -> tuple[str, ...]:
    """In the order of reading, rows without a split first: there are none of the others beside them."""
    wanted = set(splits)
    return ("", *(split for split in SPLITS if split in wanted))
