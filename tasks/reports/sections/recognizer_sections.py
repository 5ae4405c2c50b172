"""What a recognizer's report says beside its numbers and its utterances, from artifacts to HTML, data and files."""

from typing import Any, NamedTuple

from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.ingest.describe_corpus import describe_corpus
from tasks.ingest.shard_index import read_index
from tasks.reports.sections.comparison_section import comparison_section
from tasks.reports.sections.corpus_section import corpus_section, warning_list
from tasks.reports.sections.error_section import error_files, error_section
from tasks.scoring.compare_transcripts import Baseline, compare_transcripts
from tasks.scoring.error_analysis import analyze_errors
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.steps.parquet_parts import read_parts

COMPARISON, CORPUS = "comparison.json", "corpus.json"


class Sections(NamedTuple):
    """html: the sections. data: JSON files beside the page. files: others. first: what the page says at its top."""

    html: tuple[Markup, ...]
    data: dict[str, Any]
    files: dict[str, bytes]
    first: Markup = Markup()


def error_sections(transcripts: dict[str, Artifact], trained_on: Artifact | None) -> Sections:
    """transcripts: by split. trained_on: the features of the training, None where they are not there."""
    vocabulary = None if trained_on is None else training_words(trained_on)
    html, files = list[Markup](), dict[str, bytes]()
    for split, artifact in transcripts.items():
        errors = analyze_errors([(row["reference"], row["text"]) for row in read_parts(artifact)], vocabulary)
        html.append(error_section(split, errors))
        files |= error_files(split, errors)
    return Sections(tuple(html), {}, files)


def training_words(features: Artifact) -> set[str]:
    """The words of the training transcripts as the model learns them."""
    return {word for text in set(read_index(features, "train")["text"].to_pylist()) for word in (text or "").split(" ")}


def comparison_sections(
    split: str, transcripts: Artifact, baselines: tuple[Baseline, ...], scoring: ScoringConfig
) -> Sections:
    rows, found = read_parts(transcripts), list[tuple[Baseline, dict[str, Any] | None]]()
    for baseline in baselines:
        there = baseline.transcripts
        found.append((baseline, compare_transcripts(rows, read_parts(there), scoring) if there else None))
    data = [{"role": one.role, "name": one.name, "comparison": told or one.problem} for one, told in found]
    return Sections((comparison_section(split, found, COMPARISON),), {COMPARISON: data}, {})


def corpus_sections(shards: Artifact, features: Artifact, bundle: Artifact) -> Sections:
    told = describe_corpus(shards, features, bundle)
    return Sections((corpus_section(told),), {CORPUS: told}, {}, warning_list(told["warnings"]))
