"""The networks of a bundle: its model, and what that one's searches fuse."""

from infra import storage
from infra.artifact_store import Artifact
from infra.errors import UserError, explain_bad_file
from models.interface import Decoder, Model
from tasks.bundles.build_fusion_lm import build_fusion_lm, map_vocabulary
from tasks.bundles.build_weighted_model import build_weighted_model, read_weights
from tasks.bundles.bundle_files import LM, SPEC, WORDS, read_spec, read_words
from tasks.ngram.binary_file import load_ngram
from tasks.text.tokenizer import PrefixedFiles, TextTokenizer, load_tokenizer

NGRAM = LM + "ngram.bin"


def read_model(artifact: Artifact, prefix: str = "") -> Model:
    """The model with its weights; under a prefix that of another one."""
    spec, name = read_spec(artifact, prefix), f"{prefix}weights.pt"
    with explain_bad_file(storage.join(artifact.uri, name)):
        weights = read_weights(artifact.read(name))
    try:
        return build_weighted_model(spec, weights)
    except Exception as error:  # whatever options that may be anything bring about
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, ValueError):  # options that the architecture itself refuses
            raise UserError(f"{storage.join(artifact.uri, prefix + SPEC)} cannot be used ({reason})") from error
        told = f"{name} is of another version of {spec['architecture']}"
        raise UserError(f"{artifact.uri}: {told}; use the version that made it, or train again ({reason})") from error


def read_fusion_lm(artifact: Artifact, tokenizer: TextTokenizer) -> Decoder | None:
    """What searches fuse: the language model and the words beside a model; None where there are none."""
    names, lm = artifact.names(), None
    if NGRAM in names:
        with explain_bad_file(storage.join(artifact.uri, NGRAM)):
            lm = load_ngram(artifact.file(NGRAM))
    elif LM + SPEC in names:
        model, own = read_model(artifact, LM), load_tokenizer(PrefixedFiles(artifact, LM))
        with explain_bad_file(storage.join(artifact.uri, LM + SPEC)):
            lm = map_vocabulary(tokenizer, model, own)
    elif WORDS not in names:
        return None
    words = read_words(artifact) if WORDS in names else {}
    with explain_bad_file(storage.join(artifact.uri, WORDS if WORDS in names else LM)):
        return build_fusion_lm(tokenizer, lm, **words)
