"""Bundles of a small language model and a small classifier of texts, with the weights that they were drawn with."""

import torch

from infra.artifact_store import new_draft
from models import char_rnn, sequence_classifier
from models.interface import Beam
from models.layers.rnn_stack import Recurrent
from tasks.bundles.model_bundle import BundleContents, write_bundle

SYMBOLS = ["\n", " ", *"abcdefgh"]
LABELS = ["loud", "quiet", "so so"]


def language_model(kind="characters", symbols=SYMBOLS):
    """Of characters without special tokens, or of words with them."""
    with new_draft("tokenizer") as out:
        rules = {"kind": kind, "specials": kind == "words", "text": {"spaces": "keep", "kept": "\n"}}
        out.put_json("tokenizer.json", rules | {"symbols": list(symbols)})
    size = len(symbols) + (4 if kind == "words" else 0)
    config = char_rnn.Config(embedding_size=8, recurrent=Recurrent(cell="gru", hidden_size=12), readout=())
    return _bundle(config, (size, size), out.result())


def text_classifier():
    with new_draft("vocabularies") as out:
        out.put_json("tokenizer.json", {"kind": "labels", "symbols": LABELS})
        out.put_json("source/tokenizer.json", {"kind": "characters", "text": {}, "symbols": [" ", *"abcdefgh"]})
    recurrent = Recurrent(hidden_size=8, bidirectional=True)
    config = sequence_classifier.Config(source="tokens", embedding_size=8, recurrent=recurrent, readout="max")
    return _bundle(config, (4 + 9, len(LABELS)), out.result())


def _bundle(config, sizes, tokenizer):
    torch.manual_seed(0)
    weights = {name: 3 * value for name, value in config.build(*sizes).state_dict().items()}
    return write_bundle(
        BundleContents(
            config=config,
            sizes=sizes,
            weights=weights,
            tokenizer=tokenizer,
            sound=None,
            beam=Beam(),
            training={"history": []},
            golden={},
        )
    )
