"""Speech recognizers."""

from flows.kinds.model_kind import SPLITS, Data, ModelKind, Scored, inference, read_shards
from flows.recipes import Recipe, asr
from flows.shared.evaluation_plan import (
    SearchPlan,
    add_search_resources,
    check_adaptation,
    search_plan,
)
from flows.shared.fine_tuning import RECOGNIZER
from flows.shared.run_context import RunContext, flat_settings
from infra.artifact_store import Artifact
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources, transcripts_as_text
from tasks.bundles.bundle_files import TRAINING, read_architecture
from tasks.bundles.model_bundle import (
    bundle_tokenizer,
    lm_architecture,
)
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.decoding.decode_speech import DecodingConfig, decode_speech
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.ngram.text_lines import LineSplitConfig
from tasks.ngram.train_ngram import NGramTrainingConfig, train_ngram
from tasks.publishing.find_baselines import find_baselines
from tasks.reports.report_asr import ASRPage, ReportInputs, report_asr
from tasks.scoring.evaluate_asr import evaluate_asr
from tasks.text.grow_tokenizer import grow_tokenizer
from tasks.text.tokenizer import fit_tokenizer
from tasks.training.leaderboard import Ranking
from tasks.training.train_asr import train_asr

ALL_LINES = LineSplitConfig(dev_share=0)


def speech_data(place: Corpus, recipe: Recipe, source: Artifact | None) -> Data:
    shards = ingest_corpus(place, fingerprint(place), recipe.ingest, SPLITS)
    tokenizer = grow_tokenizer(shards, bundle_tokenizer(source)) if source else fit_tokenizer(shards, recipe.tokens)
    return Data(shards, extract_features(shards, tokenizer, recipe.features, recipe.ingest.error_budget), tokenizer)


def speech_model(trained: Artifact, data: Data, recipe: Recipe) -> Artifact:
    """With an n-gram model of the training transcripts, where the recipe asks for one, and the recipe's beam."""
    wanted, lm = recipe.transcript_model, None
    if wanted.unit != "none":
        words = wanted.unit == "words"
        units = fit_tokenizer(data.corpus, wanted.words(recipe.tokens)) if words else data.tokenizer
        lm = train_ngram(
            transcripts_as_text(data.corpus), units, NGramTrainingConfig(ngram=wanted.ngram, split=ALL_LINES)
        )
    return add_decoding_resources(trained, lm, DecodingResources(beam=recipe.beam))


def score_transcripts(bundle: Artifact, features: Artifact, plan: Recipe | SearchPlan, split: str) -> Scored:
    transcripts = decode_speech(bundle, features, DecodingConfig(beam=plan.beam, **inference(bundle, plan, split)))
    return Scored(evaluate_asr(transcripts, plan.scoring), (transcripts,))


def speech_page(
    bundle: Artifact, data: Data, found: dict[str, Scored], plan: Recipe | SearchPlan, run: RunContext
) -> Artifact:
    transcripts = tuple(artifact for one in found.values() for artifact in one.said)
    scores = tuple(one.scores for one in found.values())
    names = {"architecture": read_architecture(bundle), "lm_architecture": lm_architecture(bundle)}
    told = {"scoring": plan.scoring, "settings": flat_settings(plan)}
    page = ASRPage(title=run.title, splits=tuple(found), adapt=plan.adapt, **names, **told)
    baselines = find_baselines(bundle, scores[0].read_json("scores.json")["data"], run.model_name, run.training_key)
    inputs = (bundle, data.corpus, data.examples, transcripts, scores, training_features(bundle), baselines)
    return report_asr(ReportInputs(*inputs), page, run.facts())


def training_features(bundle: Artifact) -> Artifact | None:
    """What a bundle was trained on, None where this store does not have it."""
    digest = bundle.read_json(TRAINING).get("features")
    features = Artifact("features", digest) if digest else None
    return features if features and features.exists() else None


SPEECH = ModelKind(
    recipes=asr,
    ranking=Ranking(metric="wer", curve="dev_wer", curve_label="dev WER"),
    data=speech_data,
    train=train_asr,
    finish=speech_model,
    plan=search_plan,
    ready=lambda bundle, plan: check_adaptation(add_search_resources(bundle, plan, plan.beam), plan),
    read=read_shards,
    score=score_transcripts,
    page=speech_page,
    fine_tuning=RECOGNIZER,
)
