"""Translators."""

from typing import Any

from flows.kinds.model_kind import SPLITS, Data, ModelKind, Scored, read_shards, tell_if_few
from flows.recipes import TranslationRecipe, translation
from flows.shared.evaluation_plan import TranslationPlan, check_translation, translation_plan
from flows.shared.fine_tuning import TRANSLATOR
from flows.shared.run_context import RunContext, flat_settings
from infra.artifact_store import Artifact
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources
from tasks.bundles.bundle_files import read_architecture
from tasks.bundles.fit_translation_vocabularies import fit_translation_vocabularies
from tasks.bundles.model_bundle import bundle_tokenizer, lm_architecture
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.decoding.decode_speech import DecodingConfig
from tasks.decoding.decode_translation import decode_translation
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.publishing.find_baselines import find_baselines
from tasks.reports.report_translation import TranslationPage, report_translation
from tasks.scoring.evaluate_translation import evaluate_translation
from tasks.training.leaderboard import Ranking
from tasks.training.train_translation import train_translation

FEW = 10_000  # sentence pairs: 29,000 short ones of one subject come to 41 BLEU (flows/recipes/README.md)


def translation_data(place: Corpus, recipe: TranslationRecipe, source: Artifact | None) -> Data:
    """With the vocabularies of a model that the training starts from: what they cannot spell is unknown to it."""
    shards = ingest_corpus(place, fingerprint(place), recipe.ingest, SPLITS)
    if not source:
        tell_if_few(shards, FEW, "sentence pairs")
    vocabularies = bundle_tokenizer(source) if source else fit_translation_vocabularies(shards, recipe.tokens)
    return Data(shards, extract_features(shards, vocabularies, None, recipe.ingest.error_budget), vocabularies)


def translation_model(trained: Artifact, _data: Data, recipe: TranslationRecipe) -> Artifact:
    """With the recipe's beam."""
    return add_decoding_resources(trained, None, DecodingResources(beam=recipe.beam))


def score_translations(
    bundle: Artifact, features: Artifact, plan: TranslationRecipe | TranslationPlan, split: str
) -> Scored:
    how = DecodingConfig(
        architecture=read_architecture(bundle),
        lm_architecture=lm_architecture(bundle),
        split=split,
        batching=plan.batching,
        beam=plan.beam,
    )
    translations = decode_translation(bundle, features, how)
    return Scored(evaluate_translation(translations, plan.scoring), (translations,))


def translation_page(bundle: Artifact, data: Data, found: dict[str, Scored], plan: Any, run: RunContext) -> Artifact:
    said = tuple(artifact for one in found.values() for artifact in one.said)
    scores = tuple(one.scores for one in found.values())
    digest = scores[0].read_json("scores.json")["data"]
    baselines = find_baselines(bundle, digest, run.model_name, run.training_key, "translations")
    told = {"settings": flat_settings(plan), "baselines": baselines, "scoring": plan.scoring}
    page = TranslationPage(title=run.title, splits=tuple(found), **told)
    return report_translation(bundle, data.corpus, said, scores, page, run.facts())


TRANSLATION = ModelKind(
    recipes=translation,
    ranking=Ranking(metric="bleu", curve="dev_loss", curve_label="dev nats a token", descending=True),
    data=translation_data,
    train=train_translation,
    finish=translation_model,
    plan=translation_plan,
    ready=check_translation,
    read=read_shards,
    score=score_translations,
    page=translation_page,
    fine_tuning=TRANSLATOR,
    default_recipe="translation_small",
)
