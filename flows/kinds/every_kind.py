"""Which kinds of model there are, and of which one a bundle is."""

from flows.kinds.classification import CLASSIFICATION
from flows.kinds.language import LANGUAGE
from flows.kinds.model_kind import ModelKind
from flows.kinds.speech import SPEECH
from flows.kinds.translation import TRANSLATION
from infra.artifact_store import Artifact
from tasks.bundles.model_bundle import bundle_front_end, is_classifier, is_translator

MODEL_KINDS = (SPEECH, LANGUAGE, CLASSIFICATION, TRANSLATION)


def model_kind(bundle: Artifact) -> ModelKind:
    if is_classifier(bundle):
        return CLASSIFICATION
    if is_translator(bundle):
        return TRANSLATION
    return SPEECH if bundle_front_end(bundle) else LANGUAGE
