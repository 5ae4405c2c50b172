"""Plain text in UTF-8: a file, or every .txt, .txt.gz and .txt.zst of a folder, an S3 prefix or an archive."""

from tasks.corpora.corpus_files import CorpusFiles

SUFFIXES = (".txt", ".txt.gz", ".txt.zst")


def documents(source: CorpusFiles) -> list[str]:
    """The files to read, in the order of their names; the one that the corpus names may be called anything."""
    if source.asked:
        return [source.asked.rpartition("/")[2]]
    return source.names(SUFFIXES)
