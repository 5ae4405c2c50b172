"""A corpus taken in and looked at before anything is trained: what is kept, what is not and why, which rows are whose.

corpus --ingest--> shards, or text

    python -m flows.ingest --corpus manifest:/data/mine.csv
    python -m flows.ingest --corpus parallel:/data/pairs --source-language en --target-language de
    python -m flows.ingest --corpus commonvoice:/data/cv/fa --recipe asr_medium --set ingest.own_splits=true --json

With --recipe it is what a training with that recipe takes in, and need not do again. With --json standard output is one
JSON object: artifact, index, quarantine (paths), split_from, speaker_from, splits {train: {rows, seconds, speakers}},
of photos {rows, captions}, rejects {reason: {count, first: [{source, split, detail}]}}, flagged (the same of odd rows
that were kept). It is told as well of a corpus that passes its error budget, which then ends the command with status 1.
"""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import corpus_field, form_field, recipe_field, settings_field
from flows.command_line.parsers import PARSERS
from flows.recipes import asr, captioning, classification, language_model, ngram, translation
from flows.shared.command_line import GOES_ON, take_languages
from flows.shared.overrides import override
from flows.shared.validate_inputs import resolve_recipes
from infra.errors import WRONG_USE, UserError, one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from infra.processes import end_orphans
from tasks.corpora.corpus_uri import Corpus, IngestConfig, corpus_kinds, fingerprint, parse_corpus
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text
from tasks.ingest.photos.ingest_photos import ingest_photos
from tasks.ingest.shard_jobs import TooManyRejects
from tasks.ingest.summarize_ingest import summarize_ingest

RECIPES = (asr, classification, language_model, ngram, translation, captioning)
MODULES = ("asr", "classification", "language_model", "ngram", "translation", "captioning")
VERBS = {"speech": "utterances", "labels": "labeled", "text": "documents", "pairs": "pairs", "photos": "photos"}
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class SpeechIngest:
    """What may be set without a recipe."""

    ingest: IngestConfig = field(default_factory=IngestConfig)


@dataclass(frozen=True, kw_only=True)
class TextIngest:
    """The same for plain text."""

    ingest: TextIngestConfig = field(default_factory=TextIngestConfig)


@dataclass(frozen=True, kw_only=True)
class PhotoIngest:
    """The same for photos with captions."""

    ingest: PhotoIngestConfig = field(default_factory=PhotoIngestConfig)


PLANS = {VERBS["text"]: TextIngest, VERBS["photos"]: PhotoIngest}


@flow(name="ingest", flow_run_name="{corpus}")
def ingest(
    corpus: Annotated[str, corpus_field(*MODULES, verbs=("photos",))],
    recipe: Annotated[str, recipe_field(*MODULES, others=("",))] = "",
    what: Annotated[str, form_field("Read as", {"enum": ["", *VERBS]})] = "",
    settings: Annotated[tuple[str, ...], settings_field("ingest.error_budget=0.1")] = (),
) -> dict[str, Any]:
    """Take a corpus in; what summarize_ingest says of it.

    Args:
        corpus: KIND:URI.
        recipe: of any flow; what a training with it takes in.
        what: speech, labels, text, pairs or photos, of a corpus that can be read as several; by default the first.
        settings: values to replace, such as ingest.error_budget=0.1.
    """
    place, config = plan_ingest(corpus, recipe, what, settings)
    if isinstance(config, TextIngestConfig):
        return summarize_ingest(ingest_text(place, fingerprint(place), config))
    if isinstance(config, PhotoIngestConfig):
        return summarize_ingest(ingest_photos(place, fingerprint(place), config, SPLITS))
    return summarize_ingest(ingest_corpus(place, fingerprint(place), config, SPLITS))


def plan_ingest(
    corpus: str, recipe: str, what: str, settings: Sequence[str]
) -> tuple[Corpus, IngestConfig | TextIngestConfig | PhotoIngestConfig]:
    """Raises UserError for what does not go together."""
    if recipe:
        _, place, plans = resolve_recipes(corpus, recipe, settings, RECIPES)
        if len(plans) > 1:
            raise UserError(f"recipe {recipe!r}: several; name one")
        return place, next(iter(plans.values())).ingest
    place = parse_corpus(corpus, *([VERBS[what]] if what else VERBS.values()))
    place = replace(place, verb=next(verb for verb in VERBS.values() if place.kind in corpus_kinds(verb)))
    place = replace(place, verb=VERBS.get(what, place.verb))
    plan = override(PLANS.get(place.verb, SpeechIngest)(), settings)
    return place, plan.ingest


def text_table(told: dict[str, Any]) -> str:
    """For a terminal."""
    of_photos = any("captions" in numbers for numbers in told["splits"].values())
    of_clips = any(numbers.get("seconds") or numbers.get("speakers") for numbers in told["splits"].values())
    more = ("captions",) if of_photos else ("hours", "speakers") if of_clips else ()
    head = "".join(f"{name:>10}" for name in ("rows", *more))
    lines = [f"{'split':<8}{head}  taken from"] if told["splits"] else []
    for split, numbers in told["splits"].items():
        origin = ", ".join(f"{said} ({rows:,})" for said, rows in told["split_from"].get(split, {}).items())
        said = f"{split:<8}{numbers['rows']:>10,}"
        if of_photos:
            said += f"{numbers['captions']:>10,}"
        elif of_clips:
            said += f"{numbers['seconds'] / 3600:>10.3f}{numbers['speakers']:>10,}"
        lines.append(f"{said}  {origin}")
    if "documents" in told:
        lines.append(f"text        {told['documents']:,} documents, {told['characters']:,} characters")
    if told["speaker_from"] and (of_clips or not told["splits"]):
        lines.append(f"speakers    {', '.join(f'{said} ({n:,})' for said, n in told['speaker_from'].items())}")
    for name in ("rejects", "flagged"):
        for reason, those in told[name].items():
            lines.append(f"{name:<12}{those['count']:,} {reason}")
            lines += [f"            {' '.join(filter(None, row.values()))}" for row in those["first"]]
    lines += [f"{name:<12}{told[name]}" for name in ("artifact", "index", "quarantine")]
    return "\n".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines)


def parse_arguments() -> Namespace:
    parser = PARSERS["flows.ingest"]()
    given = parser.parse_args()
    take_languages(given)
    if given.recipe and given.what:
        parser.error("--recipe says what the corpus is read as; leave out --what")
    with one_line_errors(WRONG_USE):
        plan_ingest(given.corpus, given.recipe, given.what, given.settings)
    return given


def main() -> None:
    given = parse_arguments()
    end_orphans()
    force_exit_on_interrupt(GOES_ON)
    with one_line_errors(interrupted=GOES_ON):
        show = partial(json.dumps, ensure_ascii=False) if given.json else text_table
        try:
            print(show(ingest(given.corpus, given.recipe, given.what, tuple(given.settings))))
        except TooManyRejects as error:
            print(show(summarize_ingest(error.tables)))
            raise


if __name__ == "__main__":
    main()
