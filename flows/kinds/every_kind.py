"""Which kinds of model there are, and of which one a bundle is."""

from flows.kinds.captioning import CAPTIONING
from flows.kinds.classification import CLASSIFICATION
from flows.kinds.language import LANGUAGE
from flows.kinds.model_kind import ModelKind
from flows.kinds.speech import SPEECH
from flows.kinds.translation import TRANSLATION
from infra.artifact_store import Artifact
from tasks.bundles.bundle_files import read_sight
from tasks.bundles.model_bundle import bundle_front_end, is_classifier, is_translator

MODEL_KINDS = (SPEECH, LANGUAGE, CLASSIFICATION, TRANSLATION, CAPTIONING)


def model_kind(bundle: Artifact) -> ModelKind:
    if is_classifier(bundle):
        return CLASSIFICATION
    if is_translator(bundle):
        return TRANSLATION
    if read_sight(bundle):
        return CAPTIONING
    return SPEECH if bundle_front_end(bundle) else LANGUAGE
