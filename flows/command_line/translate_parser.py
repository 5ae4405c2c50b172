"""The arguments of `translate`."""

from argparse import SUPPRESS

from flows.command_line.parser import Parser
from flows.command_line.source_help import module_description


def translate_parser() -> Parser:
    parser = Parser(module_description("flows.translate"))
    parser.add_argument("--model", required=True, metavar="NAME@ALIAS|PATH")
    parser.add_argument(
        "--text", action="append", metavar="SENTENCE", help="in place of standard input; may be repeated"
    )
    told = "a line is SENTENCE, or SENTENCE, a tab and the words that its translation begins with"
    parser.add_argument("--prefixes", action="store_true", help=told)
    for side in ("source", "target"):
        told = "it is refused where the model was trained for another"
        parser.add_argument(f"--{side}-language", default="", metavar="CODE", help=told)
    parser.add_argument(
        "--n-best", type=int, default=1, metavar="N", help="hypotheses of each line at most, best first"
    )
    parser.add_argument("--json", action="store_true", help="an object a line: text, score, n_best, truncated, unknown")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("file", nargs="?", help=SUPPRESS)  # what one tries first; flows/translate.py says what to write
    return parser
