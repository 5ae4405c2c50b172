"""Corpus readers: one file a kind of corpus, found by its name, with one verb or more. `documents` is for plain text;

    utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]
    labeled(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]

say what was spoken in each clip, or the label of each clip or text in the place of the transcript. Each yields every
row of the corpus that belongs to one of `splits`, in the order test, dev, train (of a clip that comes twice the first
one stays), and rows of split "" that tasks/ingest/split_corpus.py is to place. A reader looks at names and
tables, never into clips. A kind whose clips are made, not found, also has `generate(folder: Path, options:
IngestConfig)`.
"""
