"""Multi30k: captions of photos in English, German, French, Czech; https://github.com/multi30k/dataset, task1/raw.

{train,val,test_2016_flickr}.{en,de,fr}.gz, dev being val. Which test set is read, ingest.test_set says: of the others
that there may be, test_2017_flickr, test_2018_flickr, test_2017_mscoco.
"""

import posixpath
from collections.abc import Iterator

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.sentence_pairs import languages, read_aligned, without_packing
from tasks.corpora.utterance import Reject, Utterance

NAMES = {"train": "train", "dev": "val"}


def pairs(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    if options.own_splits:
        raise UserError("multi30k: always its own splits; leave ingest.own_splits off")
    both = languages(options, f"multi30k:{source.uri}")
    there = dict[str, str]()
    for name in source.names():
        if (other := there.setdefault(without_packing(posixpath.basename(name)), name)) != name:
            raise UserError(f"multi30k:{source.uri}: {other} and {name} are the same; move one of them away")
    for split in splits:
        stem = NAMES.get(split, options.test_set)
        found = [there.get(f"{stem}.{language}", "") for language in both]
        if not all(found):
            tests = sorted({name.rpartition(".")[0] for name in there if name.startswith("test")})
            codes = sorted({name.rpartition(".")[2] for name in there})
            missing = next(f"{stem}.{language}" for language in both if f"{stem}.{language}" not in there)
            raise UserError(
                f"multi30k:{source.uri}: {missing}.gz is not there; its test sets (ingest.test_set) are "
                f"{', '.join(tests) or 'none'}, its languages {', '.join(codes)}"
            )
        yield from read_aligned(source, (found[0], found[1]), split, f"name {stem}")
