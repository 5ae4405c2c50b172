"""The arguments of the flows over archives, and what they share with other flows that use a trained model."""

from flows.command_line.parser import Parser
from flows.command_line.source_help import module_description

TRANSCRIPT_FORMATS = ("txt", "json", "srt", "vtt", "ctm", "textgrid", "trn")
ARCHIVE_FORMATS = ("parquet", "jsonl", *TRANSCRIPT_FORMATS)
TRANSLATION_FORMATS = ("parquet", "document")
CAPTION_FORMATS = ("parquet", "jsonl", "txt")


def transcribe_archive_parser() -> Parser:
    parser = model_command("transcribe_archive")
    parser.add_argument("--source", required=True, metavar="URI", help="what is to be transcribed")
    parser.add_argument("--output", required=True, metavar="URI", help="a folder or s3:// prefix")
    formats = f"of {', '.join(ARCHIVE_FORMATS)}; Parquet is always written"
    parser.add_argument("--formats", default="parquet", metavar="NAME[,NAME...]", help=formats)
    parser.add_argument("--workers", type=int, default=1, help="cores, or GPUs where there are any; 1 by default")
    vad = "voice activity detection; --set vad.kind="
    parser.add_argument("--vad", choices=("none", "silero", "webrtc"), help=vad)
    add_resources(parser)
    parser.add_argument("--dry-run", action="store_true", help="list and estimate, and do nothing")
    parser.add_argument("--cost-per-hour", type=float, default=0.0, metavar="MONEY", help="of a worker")
    return with_settings(parser)


def evaluate_archive_parser() -> Parser:
    parser = Parser(module_description("flows.evaluate_archive"))
    parser.add_argument("--output", required=True, metavar="URI", help="of transcribe-archive")
    parser.add_argument("--references", required=True, metavar="FILE|FOLDER", help=".ctm, .stm or .tsv of whole files")
    parser.add_argument("--json", action="store_true", help="the last line is the result as JSON")
    return parser


def translate_archive_parser() -> Parser:
    parser = model_command("translate_archive")
    parser.add_argument("--source", required=True, metavar="URI", help="what is to be translated")
    parser.add_argument("--output", required=True, metavar="URI", help="a folder or s3:// prefix")
    formats = "parquet, which is always written, and document: each file again in its own format; both by default"
    default = ",".join(TRANSLATION_FORMATS)
    parser.add_argument("--formats", default=default, metavar="NAME[,NAME...]", help=formats)
    parser.add_argument("--workers", type=int, default=1, help="cores, or GPUs where there are any; 1 by default")
    for side in ("source", "target"):
        words = f"--set {side}_language=; by default as the model was trained"
        parser.add_argument(f"--{side}-language", default="", metavar="TAG", help=words)
    parser.add_argument("--dry-run", action="store_true", help="list and estimate, and do nothing")
    parser.add_argument("--cost-per-hour", type=float, default=0.0, metavar="MONEY", help="of a worker")
    return with_settings(parser)


def caption_archive_parser() -> Parser:
    parser = model_command("caption_archive")
    parser.add_argument("--source", required=True, metavar="URI", help="what is to be captioned")
    parser.add_argument("--output", required=True, metavar="URI", help="a folder or s3:// prefix")
    formats = "parquet, which is always written, jsonl, and txt: a file beside each photo's name; parquet by default"
    parser.add_argument("--formats", default="parquet", metavar="NAME[,NAME...]", help=formats)
    parser.add_argument("--workers", type=int, default=1, help="cores, or GPUs where there are any; 1 by default")
    parser.add_argument("--dry-run", action="store_true", help="list and estimate, and do nothing")
    parser.add_argument("--cost-per-hour", type=float, default=0.0, metavar="MONEY", help="of a worker")
    return with_settings(parser)


def add_resources(parser: Parser) -> None:
    """What a search can be given."""
    parser.add_argument("--lm", metavar="NAME@ALIAS|PATH", help="a language model or an ARPA file; as --set lm=")
    parser.add_argument("--lexicon", metavar="FILE", help="the words there are, one a line; --set lexicon=")
    parser.add_argument("--hotwords", metavar="WORD[,WORD...]", help="words to listen for; --set hotwords=")


def with_settings(parser: Parser) -> Parser:
    """What every flow takes."""
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="the last line is the result as JSON")
    return parser


def model_command(flow: str) -> Parser:
    parser = Parser(module_description(f"flows.{flow}"))
    parser.add_argument("--model", required=True, metavar="NAME@ALIAS|PATH")
    return parser
