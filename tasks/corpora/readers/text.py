"""Plain text in UTF-8: a file, or every .txt, .txt.gz and .txt.zst of a folder, an S3 prefix or an archive.

All of it is one text: the flows hold out a share of it themselves. A corpus that is divided already (ptb.train.txt,
ptb.valid.txt, ptb.test.txt) is refused, so that nothing is trained on its test set; its parts are named one by one.
"""

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.split_names import resolve_splits, split_in_path

SUFFIXES = (".txt", ".txt.gz", ".txt.zst")


def documents(source: CorpusFiles) -> list[str]:
    """The files to read, in the order of their names; the one that the corpus names may be called anything."""
    if source.asked:
        return [source.asked.rpartition("/")[2]]
    names = source.names(SUFFIXES)
    check_splits(source, names)
    return names


def check_splits(source: CorpusFiles, names: list[str]) -> None:
    """Raises UserError where some of the files are training text by their names, and others what is held out of it."""
    parts = {name: split_in_path(name) for name in dict.fromkeys(names)}
    splits = resolve_splits(filter(None, parts.values()))
    of_split = {splits[part]: name for name, part in parts.items() if part}
    if "train" in of_split and len(of_split) > 1:
        held_out = next(name for split, name in of_split.items() if split != "train")
        raise UserError(
            f"corpus {source.uri}: {of_split['train']} and {held_out} are different splits by their names, and plain "
            "text is read as a whole; name the training text alone, or move the other away"
        )
