"""Captioners."""

from typing import Any

from flows.kinds.model_kind import SPLITS, Data, ModelKind, Scored, tell_if_few
from flows.kinds.speech import training_features
from flows.recipes import CaptioningRecipe, captioning
from flows.shared.evaluation_plan import CaptionPlan, caption_plan, check_search
from flows.shared.fine_tuning import CAPTIONER
from flows.shared.run_context import RunContext, flat_settings
from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources
from tasks.bundles.bundle_files import read_architecture, read_sight
from tasks.bundles.model_bundle import bundle_image_front_end, bundle_tokenizer, lm_architecture
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.decoding.decode_captions import decode_captions
from tasks.decoding.decode_speech import DecodingConfig
from tasks.features.backbone_weights import prepare_front_end
from tasks.features.extract_image_features import extract_image_features
from tasks.features.locate_photos import locate_photos
from tasks.ingest.ingest_corpus import list_splits
from tasks.ingest.photos.ingest_photos import ingest_photos
from tasks.reports.report_captions import CaptionPage, report_captions
from tasks.scoring.captions.evaluate_captions import CaptionContext, evaluate_captions
from tasks.text.caption_vocabulary import fit_caption_tokenizer
from tasks.training.captions.train_captioner import train_captioner
from tasks.training.leaderboard import Ranking

FEW = 1_000  # photos: 1,657 aerial ones, whose captions repeat, are the fewest measured (flows/recipes/README.md)


def caption_data(place: Corpus, recipe: CaptioningRecipe, source: Artifact | None) -> Data:
    """Where the backbone learns, features that lead to the photos. Words that a model does not know, which a training
    starts from, are unknown to it as rare ones were.
    """
    front_end = prepare_front_end(recipe.features)
    shards = ingest_photos(place, fingerprint(place), recipe.ingest, SPLITS)
    if not source:
        tell_if_few(shards, FEW, "photos")
    tokenizer = bundle_tokenizer(source) if source else fit_caption_tokenizer(shards, recipe.tokens)
    features = extract_image_features(shards, tokenizer, front_end, recipe.ingest.error_budget)
    return Data(shards, locate_photos(features, shards) if recipe.train_backbone else features, tokenizer)


def caption_evaluation_data(bundle: Artifact, data: Data, recipe: CaptioningRecipe) -> Data:
    """With features of the backbone that the bundle has, where that has learned."""
    if not recipe.train_backbone:
        return data
    front_end = bundle_image_front_end(bundle)
    assert front_end  # a captioner's
    features = extract_image_features(data.corpus, data.tokenizer, front_end, recipe.ingest.error_budget)
    return data._replace(examples=features)


def caption_model(trained: Artifact, _data: Data, recipe: CaptioningRecipe) -> Artifact:
    """With the recipe's beam."""
    return add_decoding_resources(trained, None, DecodingResources(beam=recipe.beam))


def read_photos(bundle: Artifact, place: Corpus, split: str, plan: CaptionPlan) -> Data:
    shards = ingest_photos(place, fingerprint(place), plan.ingest, (split,))
    if split not in list_splits(shards):
        raise UserError(f"{place} has no {split} split; name another (--split), or make ours with ingest.own_splits")
    tokenizer, front_end = bundle_tokenizer(bundle), bundle_image_front_end(bundle)
    assert front_end  # as `model_kind` has seen
    return Data(shards, extract_image_features(shards, tokenizer, front_end, plan.ingest.error_budget), tokenizer)


def score_photos(bundle: Artifact, features: Artifact, plan: CaptioningRecipe | CaptionPlan, split: str) -> Scored:
    how = DecodingConfig(
        architecture=read_architecture(bundle),
        lm_architecture=lm_architecture(bundle),
        beam=plan.beam,
        split=split,
        batching=plan.batching,
    )
    captions, sight = decode_captions(bundle, features, how), read_sight(bundle)
    assert sight  # a captioner's
    context = CaptionContext(trained_on=training_features(bundle), front_end=sight[0])
    return Scored(evaluate_captions(captions, context, plan.scoring), (captions,))


def caption_page(bundle: Artifact, data: Data, found: dict[str, Scored], plan: Any, run: RunContext) -> Artifact:
    said = tuple(artifact for one in found.values() for artifact in one.said)
    scores = tuple(one.scores for one in found.values())
    page = CaptionPage(title=run.title, splits=tuple(found), settings=flat_settings(plan))
    return report_captions(bundle, data.corpus, said, scores, page, run.facts())


CAPTIONING = ModelKind(
    recipes=captioning,
    ranking=Ranking(metric="bleu_4", curve="dev_bleu", curve_label="dev BLEU-4", descending=True),
    data=caption_data,
    train=train_captioner,
    finish=caption_model,
    plan=caption_plan,
    ready=check_search,
    read=read_photos,
    score=score_photos,
    page=caption_page,
    evaluation_data=caption_evaluation_data,
    fine_tuning=CAPTIONER,
    default_recipe="captioning_small",
)
