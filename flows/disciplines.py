"""What a comparison needs of each training flow: its data, its training, its scores, and what they are ranked by."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from flows.equipped import equipped
from flows.recipes import ClassificationRecipe, LanguageRecipe, Recipe, asr, classification, language
from infra.store import Artifact
from tasks.corpus import Corpus, fingerprint
from tasks.decode import Decoding, decode
from tasks.evaluate import evaluate
from tasks.evaluate_classifier import evaluate_classifier
from tasks.evaluate_language_model import Reading, evaluate_language_model
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest
from tasks.ingest_text import ingest_text
from tasks.leaderboard import Ranking
from tasks.predict import Predicting, predict
from tasks.step import Step
from tasks.stream import fit_text_tokenizer, tokenize
from tasks.tokenizer import fit_tokenizer
from tasks.train import train
from tasks.train_classifier import train_classifier
from tasks.train_language_model import train_language_model
from tasks.vocabularies import fit_vocabularies

Data = tuple[Artifact, ...]


@dataclass(frozen=True)
class Discipline:
    """recipes: the module. data: of a corpus and recipe, training takes the first two. scores: of a bundle, its data
    and recipe, on the dev split.
    """

    recipes: ModuleType
    data: Callable[[Corpus, Any], Data]
    train: Step[...]
    scores: Callable[..., Artifact]
    ranking: Ranking


def speech_data(place: Corpus, plan: Recipe) -> Data:
    shards = ingest(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    tokenizer = fit_tokenizer(shards, plan.tokens)
    return featurize(shards, tokenizer, plan.features, plan.ingest.error_budget), tokenizer, shards


def speech_scores(trained: Artifact, data: Data, plan: Recipe) -> Artifact:
    features, tokenizer, shards = data
    bundle = equipped(trained, shards, tokenizer, plan)
    how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
    return evaluate(decode(bundle, features, Decoding(beam=plan.beam, split="dev", **how)), plan.scoring)


def language_data(place: Corpus, plan: LanguageRecipe) -> Data:
    text = ingest_text(place, fingerprint(place), plan.ingest)
    tokenizer = fit_text_tokenizer(text, plan.tokens)
    return tokenize(text, tokenizer), tokenizer


def language_scores(bundle: Artifact, data: Data, plan: LanguageRecipe) -> Artifact:
    reading = Reading(architecture=plan.architecture, chunks=plan.training.chunks, batching=plan.training.batching)
    return evaluate_language_model(bundle, data[0], reading)


def classification_data(place: Corpus, plan: ClassificationRecipe) -> Data:
    shards = ingest(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    vocabularies = fit_vocabularies(shards, plan.labels, plan.features)
    return featurize(shards, vocabularies, plan.front_end, plan.ingest.error_budget), vocabularies


def classification_scores(bundle: Artifact, data: Data, plan: ClassificationRecipe) -> Artifact:
    how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
    return evaluate_classifier(predict(bundle, data[0], Predicting(split="dev", **how)), data[1], plan.scoring)


SPEECH = Ranking(metric="wer", curve="dev_wer", curve_label="dev WER")
LANGUAGE = Ranking(metric="loss", curve="dev_loss", curve_label="dev nats a token")
CLASSIFICATION = Ranking(metric="accuracy", curve="dev_error", curve_label="dev error rate", descending=True)
DISCIPLINES = (
    Discipline(asr, speech_data, train, speech_scores, SPEECH),
    Discipline(language, language_data, train_language_model, language_scores, LANGUAGE),
    Discipline(classification, classification_data, train_classifier, classification_scores, CLASSIFICATION),
)
