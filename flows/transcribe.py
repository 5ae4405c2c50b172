"""A trained recognizer transcribes recordings of any length, now and on this machine.

scriptorium transcribe talk.mp3 --model asr@champion
scriptorium transcribe /data/talks '/data/more/*.m4a' --model asr@champion --out transcripts --format txt,srt,json

Files, folders and patterns; all that libsndfile reads, and m4a, mp4, webm where PyAV is installed. Formats: txt, json
(words with times and confidence, n-best), srt, vtt, ctm, textgrid, trn. Speech longer than windows.max_seconds is cut
into windows that overlap; --vad silero or webrtc first divides recordings into speech and silence. A file that cannot
be read is one line, and the others are done: the exit status is then 1.
"""

from argparse import Namespace

from flows.command_line.parsers import PARSERS, TRANSCRIPT_FORMATS
from flows.shared.audio_files import STANDARD_OUTPUT, find_recordings
from infra.errors import FAILED, WRONG_USE, UserError, one_line_errors


def parse_arguments() -> Namespace:
    parser = PARSERS["flows.transcribe"]()
    given = parser.parse_args()
    for name, key in (("vad", "vad.kind"), ("lm", "lm"), ("lexicon", "lexicon"), ("hotwords", "hotwords")):
        if value := getattr(given, name):
            given.settings.append(f"{key}={value}")
    given.formats = tuple(dict.fromkeys(filter(None, given.format.lower().split(","))))
    if not given.formats or set(given.formats) - set(TRANSCRIPT_FORMATS):
        parser.error(f"--format {given.format}: write some of {','.join(TRANSCRIPT_FORMATS)}")
    return given


def main() -> None:
    given = parse_arguments()
    with one_line_errors(WRONG_USE):
        recordings = find_recordings(given.files)
        single = len(recordings) == len(given.formats) == 1
        if not given.out and not single or given.out == STANDARD_OUTPUT and not single:
            raise UserError("--out says the folder: only one file in one format goes to standard output")
    with one_line_errors():
        # what takes seconds to import, a refused command need not wait for
        from flows.shared.transcribe_files import TranscriptFiles, transcribe_files
        from flows.shared.transcription_plan import load_transcriber

        target = TranscriptFiles(out=given.out or STANDARD_OUTPUT, formats=given.formats)
        if transcribe_files(load_transcriber(given.model, given.settings), recordings, target):
            raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
