"""What a comparison needs of each training flow: its data, its training, its scores, and what they are ranked by."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from flows.recipes import ClassificationRecipe, LanguageRecipe, Recipe, asr, classification, language_model
from flows.shared.decoder_setup import add_decoder
from infra.artifact_store import Artifact
from tasks.batches.token_stream import fit_text_tokenizer, tokenize_text
from tasks.bundles.label_set import fit_label_set
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.decoding.decode_speech import DecodingConfig, decode_speech
from tasks.decoding.predict_labels import PredictionConfig, predict_labels
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.ingest.ingest_text import ingest_text
from tasks.scoring.evaluate_asr import evaluate_asr
from tasks.scoring.evaluate_classifier import evaluate_classifier
from tasks.scoring.evaluate_language_model import LMScoringConfig, evaluate_language_model
from tasks.steps.pipeline_step import Step
from tasks.text.tokenizer import fit_tokenizer
from tasks.training.leaderboard import Ranking
from tasks.training.train_asr import train_asr
from tasks.training.train_classifier import train_classifier
from tasks.training.train_language_model import train_language_model

Data = tuple[Artifact, ...]


@dataclass(frozen=True)
class TrainingKind:
    """recipes: the module. data: of a corpus and recipe, training takes the first two. scores: of a bundle, its data
    and recipe, on the dev split.
    """

    recipes: ModuleType
    data: Callable[[Corpus, Any], Data]
    train: Step[...]
    scores: Callable[..., Artifact]
    ranking: Ranking


def speech_data(place: Corpus, plan: Recipe) -> Data:
    shards = ingest_corpus(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    tokenizer = fit_tokenizer(shards, plan.tokens)
    return extract_features(shards, tokenizer, plan.features, plan.ingest.error_budget), tokenizer, shards


def speech_scores(trained: Artifact, data: Data, plan: Recipe) -> Artifact:
    features, tokenizer, shards = data
    bundle = add_decoder(trained, shards, tokenizer, plan)
    how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
    return evaluate_asr(
        decode_speech(bundle, features, DecodingConfig(beam=plan.beam, split="dev", **how)), plan.scoring
    )


def language_data(place: Corpus, plan: LanguageRecipe) -> Data:
    text = ingest_text(place, fingerprint(place), plan.ingest)
    tokenizer = fit_text_tokenizer(text, plan.tokens)
    return tokenize_text(text, tokenizer), tokenizer


def language_scores(bundle: Artifact, data: Data, plan: LanguageRecipe) -> Artifact:
    reading = LMScoringConfig(
        architecture=plan.architecture, chunks=plan.training.chunks, batching=plan.training.batching
    )
    return evaluate_language_model(bundle, data[0], reading)


def classification_data(place: Corpus, plan: ClassificationRecipe) -> Data:
    shards = ingest_corpus(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    vocabularies = fit_label_set(shards, plan.labels, plan.features)
    return extract_features(shards, vocabularies, plan.front_end, plan.ingest.error_budget), vocabularies


def classification_scores(bundle: Artifact, data: Data, plan: ClassificationRecipe) -> Artifact:
    how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
    return evaluate_classifier(
        predict_labels(bundle, data[0], PredictionConfig(split="dev", **how)), data[1], plan.scoring
    )


SPEECH = Ranking(metric="wer", curve="dev_wer", curve_label="dev WER")
LANGUAGE = Ranking(metric="loss", curve="dev_loss", curve_label="dev nats a token")
CLASSIFICATION = Ranking(metric="accuracy", curve="dev_error", curve_label="dev error rate", descending=True)
TRAINING_KINDS = (
    TrainingKind(asr, speech_data, train_asr, speech_scores, SPEECH),
    TrainingKind(language_model, language_data, train_language_model, language_scores, LANGUAGE),
    TrainingKind(classification, classification_data, train_classifier, classification_scores, CLASSIFICATION),
)
