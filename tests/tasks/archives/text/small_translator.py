"""Bundles of a small translator that was never trained, and documents for it."""

import torch

from infra.artifact_store import new_draft
from models import transformer
from models.interface import Beam
from tasks.bundles.model_bundle import BundleContents, write_bundle

LETTERS = [" ", *"abcdefghijklmnopqrstuvwxyz", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *".,!?"]
CONFIG = transformer.Config(size=16, heads=2, feed_forward_size=16, encoder_layers=1, decoder_layers=1, dropout=0.0)
LANGUAGES = {"source": "en", "target": "de"}


def translator_bundle(languages=None):
    """Weights that write some letters for each sentence, and end."""
    with new_draft("vocabularies") as out:
        rules = {"kind": "characters", "text": {"case": "keep", "punctuation": "keep"}, "symbols": LETTERS}
        for name in ("tokenizer.json", "source/tokenizer.json"):
            out.put_json(name, rules)
    torch.manual_seed(0)
    sizes = (len(LETTERS) + 4, len(LETTERS) + 4)
    weights = {
        name: 3 * value if value.dim() > 1 else value for name, value in CONFIG.build(*sizes).state_dict().items()
    }
    return write_bundle(
        BundleContents(
            config=CONFIG,
            sizes=sizes,
            weights=weights,
            tokenizer=out.result(),
            sound=None,
            beam=Beam(width=1),
            training={"history": [], "languages": LANGUAGES if languages is None else languages},
            golden={},
        )
    )
