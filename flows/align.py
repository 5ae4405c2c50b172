"""When each word of a known transcript was said, by a CTC model: of one recording, or of a split of a corpus.

python -m flows.align --model asr@champion --audio talk.flac --text talk.txt --format textgrid --out talk.TextGrid
python -m flows.align --model asr@champion --corpus an4:/data/an4 --split dev --out alignments

    bundle, corpus --ingest--> shards --align--> alignments --> split.ctm, or a TextGrid an utterance

The text is a file's, where there is one of that name, else what was written itself. CTM holds words, TextGrid words and
tokens. What cannot be aligned of a split is told in problems.txt, a line each.
"""

import os
import sys
from argparse import Namespace
from pathlib import Path

from flows.command_line.parsers import PARSERS
from flows.shared.evaluation_plan import require_recognizer
from infra.artifact_store import Artifact
from infra.errors import UserError, one_line_errors
from tasks.audio.live_audio_input import read_audio_input
from tasks.bundles.bundle_files import read_architecture
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import load_bundle
from tasks.corpora.corpus_uri import IngestConfig, fingerprint, parse_corpus
from tasks.corpora.text_file import read_whole_text
from tasks.decoding.alignment.alignment_formats import Format, format_alignment, write_file, write_split
from tasks.decoding.alignment.forced_alignment import AlignmentConfig, CTCAligner, align_split, read_alignments
from tasks.ingest.ingest_corpus import ingest_corpus


def align_recording(model: str, audio: str, text: str, how: Format) -> str:
    """The marks of one recording."""
    bundle = load_bundle(require_recognizer(find_model(model), model))
    try:
        aligned = CTCAligner(bundle, model)(read_audio_input(audio), read_transcript(text))
    except UserError as problem:
        told = str(problem)
        raise UserError(told if audio in told or model in told else f"{audio}: {told}") from problem
    return format_alignment(aligned, Path(audio).stem, how)


def read_transcript(text: str) -> str:
    if not os.path.isfile(text):
        return text
    return read_whole_text(text)


def align_corpus(model: str, corpus: str, split: str) -> Artifact:
    """The alignments of a split."""
    bundle = require_recognizer(find_model(model), model)
    place = parse_corpus(corpus, "utterances")
    shards = ingest_corpus(place, fingerprint(place), IngestConfig(), (split,))
    return align_split(bundle, shards, AlignmentConfig(architecture=read_architecture(bundle), split=split))


def parse_arguments() -> Namespace:
    parser = PARSERS["flows.align"]()
    given = parser.parse_args()
    if bool(given.corpus) == bool(given.audio) or bool(given.audio) != (given.text is not None):
        parser.error("give --audio with --text, or --corpus")
    if given.corpus and not given.out:
        parser.error("--out says the folder for a corpus' files")
    return given


def main() -> None:
    given = parse_arguments()
    with one_line_errors():
        if given.corpus:
            from prefect import flow  # one recording need not wait for it

            found = flow(name="align")(align_corpus)(given.model, given.corpus, given.split)
            print(write_split(read_alignments(found), given.split, Path(given.out), given.format))
        else:
            written = align_recording(given.model, given.audio, given.text, given.format)
            write_file(Path(given.out), written) if given.out else sys.stdout.write(written)


if __name__ == "__main__":
    main()
