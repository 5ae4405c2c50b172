"""Which kinds of model there are, and of which one a bundle is."""

from flows.kinds.classification import CLASSIFICATION
from flows.kinds.language import LANGUAGE
from flows.kinds.model_kind import ModelKind
from flows.kinds.speech import SPEECH
from infra.artifact_store import Artifact
from tasks.bundles.model_bundle import bundle_front_end, is_classifier

MODEL_KINDS = (SPEECH, LANGUAGE, CLASSIFICATION)


def model_kind(bundle: Artifact) -> ModelKind:
    if is_classifier(bundle):
        return CLASSIFICATION
    return SPEECH if bundle_front_end(bundle) else LANGUAGE
