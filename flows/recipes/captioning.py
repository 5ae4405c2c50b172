"""Captioners of photos."""

from dataclasses import replace

from flows.recipes import CaptionFineTuningRecipe, CaptioningRecipe
from flows.recipes.fit_presets import one_cycle
from models import show_and_tell, show_attend_tell
from models.interface import Beam
from models.layers.decoder.scheduled_sampling import Sampling
from tasks.batches.batch_sampler import BatchingConfig
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.features.image_front_end import ImageFrontEnd
from tasks.text.caption_vocabulary import CAPTION_TOKENS
from tasks.training.optimizer import FitConfig

VERB, MODEL_NAME = "photos", "captioning"  # what a corpus' reader must offer; what a model is registered as

BATCHES = BatchingConfig(frames_per_batch=1000, utterances_per_batch=64, sorted_epochs=0)
CONSENSUS = Beam(width=20, length_norm=0.7, mbr_scale=0.7)  # of several sentences that fit, the usual one


def show_attend_tell_demo() -> CaptioningRecipe:
    """Drawn scenes (`--corpus scenes:`): what is there, and where it looks, in minutes."""
    return CaptioningRecipe(
        ingest=PhotoIngestConfig(shard_mb=2, near_bits=0),
        tokens=replace(CAPTION_TOKENS, minimum_count=1),
        features=ImageFrontEnd(size=112, stride=8),  # small things are a few places apart, and seen at each of them
        model=show_attend_tell.Config(
            embedding_size=64,
            hidden_size=256,
            attention_size=64,
            coordinates=True,
            doubly_stochastic=0.0,
            dropout=0.2,
        ),
        batching=replace(BATCHES, utterances_per_batch=32),
        fit=one_cycle(epochs=35, learning_rate=3e-3, best_by="loss"),
        beam=Beam(width=3),
    )


def show_attend_tell_flickr8k() -> CaptioningRecipe:
    """Flickr8k (`--corpus coco:...`): soft attention over 81 places of EfficientNet-Lite0."""
    return CaptioningRecipe(
        features=ImageFrontEnd(size=288),
        model=show_attend_tell.Config(
            embedding_size=512,
            hidden_size=512,
            attention_size=256,
            projection=512,
            tied=True,
            annotation_dropout=0.2,
            label_smoothing=0.1,
            doubly_stochastic=0.5,
        ),
        batching=BATCHES,
        fit=replace(
            one_cycle(epochs=10, learning_rate=1e-3, weight_decay=0.0, best_by="bleu"),
            precision="bfloat16",
            average_last=3,
        ),
        beam=CONSENSUS,
    )


def captioning_small() -> CaptioningRecipe:
    """Your own photos, some thousand of them: soft attention over places of EfficientNet-Lite0, as for Flickr8k."""
    return show_attend_tell_flickr8k()


def show_attend_tell_fine_tune() -> CaptionFineTuningRecipe:
    """A captioner that there is (with --from), of any photos: its backbone learns with it, at a quarter of the rate.

    Rates of 4e-4 and 1e-4 are those of https://github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning.
    """
    return CaptionFineTuningRecipe(
        batching=replace(BATCHES, utterances_per_batch=32),
        fit=replace(
            one_cycle(epochs=5, learning_rate=4e-4, weight_decay=0.0, best_by="bleu"), rate_factors={"backbone.*": 0.25}
        ),
    )


def show_attend_tell_demo_fine_tune() -> CaptionFineTuningRecipe:
    """The same for the captioner of drawn scenes (`--corpus scenes:`)."""
    recipe = show_attend_tell_fine_tune()
    fit = replace(recipe.fit, learning_rate=1e-3, rate_factors={"backbone.*": 0.1}, best_by="loss")
    return replace(recipe, ingest=show_attend_tell_demo().ingest, fit=fit)


def show_and_tell_flickr8k() -> CaptioningRecipe:
    """The same photos with the network of Vinyals et al. 2015: an embedding of the photo comes first, and no more."""
    return replace(show_attend_tell_flickr8k(), model=show_and_tell.Config(tied=True, label_smoothing=0.1))


def show_attend_tell_ucm() -> CaptioningRecipe:
    """Aerial photographs (`--corpus coco:.../ucm_captions`): few photos, captions that repeat."""
    recipe = show_attend_tell_flickr8k()
    return replace(
        recipe,
        features=ImageFrontEnd(),
        tokens=replace(CAPTION_TOKENS, minimum_count=1),
        model=replace(recipe.model, hidden_size=256, embedding_size=256, projection=256),
        fit=replace(recipe.fit, epochs=20),
        beam=replace(CONSENSUS, mbr_scale=1.0),
    )


def show_attend_tell_paper() -> CaptioningRecipe:
    """Hundreds of thousands of photos, on GPUs: the network of Xu et al. 2015 over 196 places of ResNet-101."""
    return CaptioningRecipe(
        features=ImageFrontEnd(backbone="resnet101", stride=16, weights="hub", resize="crop"),
        model=show_attend_tell.Config(),
        batching=BATCHES,
        fit=FitConfig(
            epochs=50,
            optimizer="RMSprop",
            learning_rate=1e-3,
            optimizer_options={},
            schedule="",
            schedule_options={},
            clip_norm=10.0,
            best_by="bleu",
            patience=10,
        ),
        beam=Beam(width=3),
    )


def show_and_tell_paper() -> CaptioningRecipe:
    """The same photos: the network and training of Vinyals et al. 2015, SGD without momentum, scheduled sampling."""
    return CaptioningRecipe(
        features=ImageFrontEnd(backbone="googlenet", weights="hub", resize="crop"),
        model=show_and_tell.Config(sampling=Sampling(rate=0.25, decay="inverse_sigmoid", k=1000.0)),
        batching=BATCHES,
        fit=FitConfig(
            epochs=50,
            optimizer="SGD",
            learning_rate=2.0,
            optimizer_options={},
            schedule="ExponentialLR",
            schedule_options={"gamma": 0.93},
            clip_norm=5.0,
            best_by="bleu",
            patience=10,
        ),
        beam=Beam(width=20),
    )
