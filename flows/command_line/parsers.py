"""The arguments of every flow. They are read before what does the work is imported, so that --help is quick."""

import argparse
import ast
import re
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

from flows.command_line.archive_parsers import (
    TRANSCRIPT_FORMATS,
    add_resources,
    caption_archive_parser,
    evaluate_archive_parser,
    model_command,
    transcribe_archive_parser,
    translate_archive_parser,
    with_settings,
)
from flows.command_line.parser import Parser, parse_seeds
from flows.command_line.source_help import (
    Setting,
    config_settings,
    corpus_kinds,
    literal_values,
    module_description,
    recipe_constants,
    recipe_settings,
    recipes_by_purpose,
)
from flows.command_line.translate_parser import translate_parser

SPLITS = ("train", "dev", "test")
FIRST_SENTENCE = re.compile(r"(?<!\bal)\. ")  # not after et al.
RECIPE_CLASSES = {
    "asr": "Recipe",
    "language_model": "LanguageRecipe",
    "ngram": "NGramRecipe",
    "classification": "ClassificationRecipe",
    "translation": "TranslationRecipe",
    "captioning": "CaptioningRecipe",
}
DEFAULT_RECIPES = {
    "asr": "the one that fits the corpus' hours and the machine, or asr_fine_tune with --from",
    "translation": "translation_small, or translation_fine_tune with --from",
    "captioning": "captioning_small, or show_attend_tell_fine_tune with --from",
}


def training_parser(flow: str, recipes: str, *, workers: bool = True) -> Parser:
    """recipes: their module in flows/recipes/. workers: whether Ray Train has any."""
    parser = _recipe_parser(flow, (recipes,))
    if recipes in DEFAULT_RECIPES:
        parser.add_argument("--recipe", default="auto", metavar="NAME", help=f"default: {DEFAULT_RECIPES[recipes]}")
    else:
        parser.add_argument("--recipe", required=True, metavar="NAME")
    if recipes in {"asr", "translation", "captioning"}:
        starts = "a model to start from (fine-tuning), see fit.freeze and fit.rate_factors; as --set init_from="
        parser.add_argument("--from", default="", dest="init_from", metavar="NAME@ALIAS|PATH", help=starts)
    if recipes == "translation":
        add_languages(parser)
    if workers:
        told = "Ray Train workers, fit.batches_per_step at most (default %(default)s; 0: in this process)"
        parser.add_argument("--workers", type=int, default=1, help=told)
    parser.add_argument("--model-name", default=recipe_constants(recipes)[1], help="registered in MLflow as")
    return with_settings(_registered(parser))


def comparison_parser() -> Parser:
    parser = _recipe_parser("compare", ("asr", "language_model", "classification", "translation", "captioning"))
    parser.add_argument("--recipes", required=True, dest="names", metavar="NAME[,NAME...]")
    add_languages(parser)
    parser.add_argument(
        "--seeds", type=parse_seeds, default=(0,), metavar="0,1", help="each recipe is trained with each"
    )
    return with_settings(parser)


def model_parser(flow: str, split: str) -> Parser:
    """Of a flow that uses a trained model on a corpus. split: the default."""
    parser = model_command(flow)
    parser.add_argument("--corpus", required=True, metavar="KIND:URI")
    parser.add_argument("--split", default=split, choices=SPLITS)
    add_resources(parser)
    return with_settings(parser)


def tune_parser() -> Parser:
    parser = model_parser("tune_decoding", "dev")
    told = "registered in MLflow as; left out: as the model is, or what its kind is called"
    parser.add_argument("--model-name", default="", help=told)
    return _registered(parser)


def generate_parser() -> Parser:
    parser, default = model_command("generate"), _defaults("tasks.decoding.generate_text", "Prompt")
    parser.add_argument("--context", default=default["context"], help="what the text begins with")
    parser.add_argument("--length", type=int, default=default["length"], help="tokens to write")
    help_text = "0: always the most probable"
    parser.add_argument("--temperature", type=float, default=default["temperature"], help=help_text)
    parser.add_argument("--top-k", type=int, default=default["top_k"], help="draw from the k most probable, 0 from all")
    help_text = "and from those that reach this probability"
    parser.add_argument("--top-p", type=float, default=default["top_p"], help=help_text)
    parser.add_argument("--seed", type=int, default=default["seed"])
    return parser


def transcribe_parser() -> Parser:
    parser = model_command("transcribe")
    parser.add_argument("files", nargs="+", metavar="FILE|FOLDER|PATTERN", help="recordings; s3:// too")
    parser.add_argument("--out", metavar="DIR", help="folder or s3:// prefix; one file can go to standard output (-)")
    formats = f"of {', '.join(TRANSCRIPT_FORMATS)}"
    parser.add_argument("--format", default="txt", metavar="NAME[,NAME...]", help=formats)
    vad = "voice activity detection; --set vad.kind="
    parser.add_argument("--vad", choices=("none", "silero", "webrtc"), help=vad)
    add_resources(parser)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    return parser


def listen_parser() -> Parser:
    parser, default = model_command("listen"), _defaults("flows.listen", "AudioSource")
    parser.add_argument("file", metavar="FILE|-", help="a recording, or - for samples on standard input")
    parser.add_argument("--rate", type=int, default=default["rate"], help="samples a second on standard input")
    parser.add_argument("--chunk-ms", type=int, default=default["chunk_ms"], help="how much sound comes at a time")
    parser.add_argument("--max-length", type=int, default=0, help="tokens to write at most (default: no limit)")
    parser.add_argument("--json", action="store_true", help="an object a line: text, final, begin, end (seconds)")
    return parser


def align_parser() -> Parser:
    parser = model_command("align")
    parser.add_argument("--audio", metavar="FILE")
    parser.add_argument("--text", metavar="TRANSCRIPT|FILE", help="what is said in it")
    parser.add_argument("--corpus", metavar="KIND:URI", help="in place of audio and text")
    parser.add_argument("--split", default="dev", choices=SPLITS)
    parser.add_argument("--format", default="ctm", choices=("ctm", "textgrid"))
    parser.add_argument("--out", metavar="FILE|DIR", help="standard output where left out, but for a corpus")
    return parser


def ingest_parser() -> Parser:
    parser = Parser(module_description("flows.ingest"), _kinds_text(*RECIPE_CLASSES))
    parser.add_argument("--corpus", required=True, metavar="KIND:URI")
    parser.add_argument("--recipe", default="", metavar="NAME", help="take in what a training with it does")
    what = ("speech", "labels", "text", "pairs", "photos")
    parser.add_argument("--what", default="", choices=what, help="of a corpus that can be read as several")
    add_languages(parser)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="ingest.KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def export_parser() -> Parser:
    parser = Parser(module_description("flows.export"))
    parser.add_argument("--shards", required=True, metavar="ARTIFACT")
    forms = literal_values("tasks.publishing.export_corpus", "Format")
    parser.add_argument("--format", required=True, choices=forms)
    parser.add_argument("--out", required=True, metavar="URI", help="a folder or s3://bucket/prefix, empty or new")
    return parser


def dataset_parser() -> Parser:
    parser = Parser(module_description("flows.dataset"))
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=argparse.ArgumentParser)
    verb = {
        name: verbs.add_parser(name, help=words)
        for name, words in (
            ("add", "a release: what of it is new is ingested, and a version made"),
            ("log", "its versions, the newest first; without a name the data sets there are"),
            ("diff", "what a version has changed, clip by clip"),
            ("show", "a version: its splits, and who withdrew, with the models that were trained on them"),
        )
    }
    for name, one in verb.items():
        one.add_argument("name", metavar="NAME", nargs="?" if name == "log" else None, default="")
        one.add_argument("--json", action="store_true", help="JSON instead of a table")
    verb["add"].add_argument("--corpus", required=True, metavar="KIND:URI")
    kind = verb["add"].add_mutually_exclusive_group()
    words = "a segment of what is new: nothing that it lacks is withdrawn (default: as its name says)"
    kind.add_argument("--delta", action="store_true", default=None, help=words)
    kind.add_argument("--full", action="store_false", dest="delta", help="whole: what it lacks is withdrawn")
    verb["add"].add_argument("--locale", default="", help="what its rows must say (default: what those before do)")
    budget = "share of the data set that may be withdrawn at once (default %(default)s)"
    verb["add"].add_argument("--retracted-budget", type=float, default=0.5, metavar="SHARE", help=budget)
    verb["add"].add_argument("--set", action="append", default=[], dest="settings", metavar="ingest.KEY=VALUE")
    verb["diff"].add_argument("versions", nargs="*", metavar="VERSION", help="two, or one and the one before it")
    verb["show"].add_argument("version", nargs="?", default="", metavar="VERSION", help="number or digest")
    return parser


def retrain_parser() -> Parser:
    parser = Parser(module_description("flows.retrain"))
    parser.add_argument("--watch", required=True, metavar="URI", help="where releases are put; or KIND:URI")
    for name, words in {"name": "model", "locale": "of releases", "dataset": "name", "metric": "wer, cer"}.items():
        parser.add_argument(f"--{name}", default="asr" * (name == "name"), help=words)
    parser.add_argument("--recipe", default="auto", help="of fine-tuning, or from scratch")
    parser.add_argument("--workers", type=int, default=1, help="of the training; 0: in this process")
    return with_settings(parser)


PARSERS: dict[str, Callable[[], Parser]] = {
    "flows.train_asr": partial(training_parser, "train_asr", "asr"),
    "flows.train_language_model": partial(training_parser, "train_language_model", "language_model"),
    "flows.train_ngram": partial(training_parser, "train_ngram", "ngram", workers=False),
    "flows.train_classifier": partial(training_parser, "train_classifier", "classification"),
    "flows.train_translation": partial(training_parser, "train_translation", "translation"),
    "flows.train_captioning": partial(training_parser, "train_captioning", "captioning"),
    "flows.compare": comparison_parser,
    "flows.evaluate": partial(model_parser, "evaluate", "test"),
    "flows.tune_decoding": tune_parser,
    "flows.generate": generate_parser,
    "flows.transcribe": transcribe_parser,
    "flows.translate": translate_parser,
    "flows.transcribe_archive": transcribe_archive_parser,
    "flows.translate_archive": translate_archive_parser,
    "flows.evaluate_archive": evaluate_archive_parser,
    "flows.caption_archive": caption_archive_parser,
    "flows.listen": listen_parser,
    "flows.align": align_parser,
    "flows.ingest": ingest_parser,
    "flows.export": export_parser,
    "flows.dataset": dataset_parser,
    "flows.retrain": retrain_parser,
}


def add_languages(parser: Parser) -> None:
    """Of a corpus of sentence pairs."""
    for side in ("source", "target"):
        told = f"of sentence pairs, as the corpus calls it, such as en; --set ingest.{side}_language="
        parser.add_argument(f"--{side}-language", default="", metavar="CODE", help=told)


def _registered(parser: Parser) -> Parser:
    """Of a flow that registers what it made."""
    rule = "of the new version; left out: champion where it is the first or better on the same data, else challenger"
    parser.add_argument("--alias", default="", help=rule)
    words = "make the new version champion, whatever it scores"
    parser.add_argument("--promote", action="store_const", dest="alias", const="champion", help=words)
    return parser


def _recipe_parser(flow: str, modules: tuple[str, ...]) -> Parser:
    """That lists corpus kinds, recipes and the keys of --set, and takes a corpus."""
    lines = ["recipes, by what they are for (scriptorium recipes NAME shows one whole):"]
    for module in modules:
        for purpose, found in recipes_by_purpose(module):
            lines += [f"  {purpose}", *(f"    {name:<34}{line}" for name, line in found.items())]
    lines += ["", _kinds_text(*modules)]
    if len(modules) == 1:
        lines += ["", _settings_text(RECIPE_CLASSES[modules[0]])]
    parser = Parser(module_description(f"flows.{flow}"), "\n".join(lines))
    parser.add_argument("--corpus", required=True, metavar="KIND:URI")
    return parser


def _kinds_text(*modules: str) -> str:
    """Those that the recipes of these modules can read."""
    kinds = corpus_kinds(*(recipe_constants(module)[0] for module in modules)).items()
    return "\n".join(["kinds of corpora:", *(f"  {kind:<14}{line}" for kind, line in kinds)])


def _settings_text(recipe: str) -> str:
    """Keys of which the source says the same are beside each other, and what it says stands once below them."""
    lines = ["keys of --set, with the defaults that a recipe may replace:"]
    same: dict[tuple[str, str], list[Setting]] = {}
    for setting in recipe_settings(recipe):
        apart = "" if setting.meaning else setting.key
        same.setdefault((setting.key.rpartition(".")[0] + apart, setting.meaning), []).append(setting)
    for (_, meaning), settings in same.items():
        for setting in settings:
            key = "model.*" if setting.key == "model" else setting.key
            told = f"  {key}={setting.default}" if setting.default else f"  {key}"
            lines.append(f"{told:<46} {setting.type}".rstrip())
        told = FIRST_SENTENCE.split(meaning)[0].rstrip(".;")
        lines += textwrap.wrap(told, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _defaults(module: str, config: str) -> dict[str, Any]:
    return {s.key: ast.literal_eval(s.default) for s in config_settings(module, config) if s.default}
