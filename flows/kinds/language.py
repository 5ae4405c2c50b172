"""Language models."""

from typing import Any

from flows.kinds.model_kind import Data, ModelKind, Scored
from flows.recipes import LanguageRecipe, language_model
from flows.shared.evaluation_plan import (
    TextPlan,
    text_plan,
)
from flows.shared.run_context import RunContext, flat_settings
from infra.artifact_store import Artifact
from tasks.batches.tokenize_text import fit_text_tokenizer, tokenize_text
from tasks.bundles.bundle_files import read_architecture
from tasks.bundles.model_bundle import (
    bundle_tokenizer,
)
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.ingest.ingest_text import ingest_text
from tasks.reports.report_language_model import LanguagePage, report_language_model
from tasks.scoring.evaluate_language_model import LMScoringConfig, evaluate_language_model
from tasks.training.language.train_language_model import train_language_model
from tasks.training.leaderboard import Ranking


def language_data(place: Corpus, recipe: LanguageRecipe, _source: Artifact | None) -> Data:
    text = ingest_text(place, fingerprint(place), recipe.ingest)
    tokenizer = fit_text_tokenizer(text, recipe.tokens)
    return Data(text, tokenize_text(text, tokenizer), tokenizer)


def read_text(bundle: Artifact, place: Corpus, _split: str, plan: TextPlan) -> Data:
    text, tokenizer = ingest_text(place, fingerprint(place), plan.ingest), bundle_tokenizer(bundle)
    return Data(text, tokenize_text(text, tokenizer), tokenizer)


def score_text(bundle: Artifact, stream: Artifact, plan: LanguageRecipe | TextPlan, split: str) -> Scored:
    how = LMScoringConfig(
        architecture=read_architecture(bundle), chunks=plan.chunks, batching=plan.batching, split=split
    )
    return Scored(evaluate_language_model(bundle, stream, how))


def language_page(bundle: Artifact, data: Data, found: dict[str, Scored], plan: Any, run: RunContext) -> Artifact:
    ((split, one),) = found.items()
    page = LanguagePage(title=run.title, split=split, settings=flat_settings(plan))
    return report_language_model(bundle, data.corpus, data.examples, one.scores, page, run.facts())


LANGUAGE = ModelKind(
    recipes=language_model,
    ranking=Ranking(metric="loss", curve="dev_loss", curve_label="dev nats a token"),
    data=language_data,
    train=train_language_model,
    finish=lambda trained, _data, _recipe: trained,
    plan=text_plan,
    ready=lambda bundle, _plan: bundle,
    read=read_text,
    score=score_text,
    page=language_page,
)
