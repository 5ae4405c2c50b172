"""A trained recognizer transcribes recordings of any length, now and on this machine.

python -m flows.transcribe talk.mp3 --model asr@champion
python -m flows.transcribe /data/talks '/data/more/*.m4a' --model asr@champion --out transcripts --format txt,srt,json

Files, folders and patterns; all that libsndfile reads, and m4a, mp4, webm where PyAV is installed. Formats: txt, json
(words with times and confidence, n-best), srt, vtt, ctm, textgrid, trn. Speech longer than windows.max_seconds is cut
into windows that overlap; --vad silero or webrtc first divides recordings into speech and silence. A file that cannot
be read is one line, and the others are done: the exit status is then 1.
"""

from argparse import Namespace

from flows.shared.audio_files import STANDARD_OUTPUT, find_recordings
from flows.shared.command_line import Parser
from infra.errors import FAILED, WRONG_USE, UserError, one_line_errors

FORMATS = ("txt", "json", "srt", "vtt", "ctm", "textgrid", "trn")


def parse_arguments() -> Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE|FOLDER|PATTERN", help="recordings; s3:// too")
    parser.add_argument("--model", required=True, metavar="NAME@ALIAS|PATH")
    parser.add_argument("--out", metavar="DIR", help="folder or s3:// prefix; one file can go to standard output (-)")
    parser.add_argument("--format", default="txt", metavar="NAME[,NAME...]", help=f"of {', '.join(FORMATS)}")
    parser.add_argument("--vad", choices=("none", "silero", "webrtc"), help="voice activity detection; --set vad.kind=")
    parser.add_argument("--lm", metavar="NAME@ALIAS|PATH", help="a language model, or an ARPA file; --set lm=")
    parser.add_argument("--lexicon", metavar="FILE", help="the words there are, one a line; --set lexicon=")
    parser.add_argument("--hotwords", metavar="WORD[,WORD...]", help="words to listen for; --set hotwords=")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    for name, key in (("vad", "vad.kind"), ("lm", "lm"), ("lexicon", "lexicon"), ("hotwords", "hotwords")):
        if value := getattr(given, name):
            given.settings.append(f"{key}={value}")
    given.formats = tuple(dict.fromkeys(filter(None, given.format.lower().split(","))))
    if not given.formats or set(given.formats) - set(FORMATS):
        parser.error(f"--format {given.format}: write some of {','.join(FORMATS)}")
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
