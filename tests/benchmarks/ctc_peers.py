"""The peers of the CTC search, run by the python of their own environment: `make bench-peers`.

A stand-alone program: `python ctc_peers.py FOLDER` reads what tests/benchmarks/ctc_search.py has laid there and prints,
for each peer and workload, a line of JSON with the seconds of its fastest run and what it has read.
"""

import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
from flashlight.lib.text.decoder import (
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    LexiconFreeDecoder,
    LexiconFreeDecoderOptions,
    SmearingMode,
    Trie,
    ZeroLM,
)
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from pyctcdecode import build_ctcdecoder

THRESHOLD = 50.0  # torchaudio's default for flashlight's decoders: hypotheses so far below the best are dropped
BLANK = 0


class Workload:
    """What lies in the folder. emissions: of each utterance log-probabilities (T, 29), blank first."""

    def __init__(self, folder):
        self.folder = folder
        told = json.loads((folder / "workload.json").read_text())
        self.letters, self.words, self.weights = told["letters"], told["words"], told["weights"]
        self.repeats, self.widths = told["repeats"], told["widths"]
        self.tokens = ["<blank>", *("\u2581" if letter == " " else letter for letter in self.letters)]
        with np.load(folder / "emissions.npz") as arrays:
            self.emissions = [np.ascontiguousarray(arrays[name], np.float32) for name in arrays.files]

    def text(self, path):
        """Of a path with blanks and repetitions, as flashlight gives it: a token a frame, between two of its own."""
        letters = [self.letters[token - 1] for token, _ in itertools.groupby(path) if token > BLANK]
        return " ".join("".join(letters).split())


def flashlight(work, width, model):
    """A decoder for sentences, without lexicon: model is none or characters; with it: words."""
    weights, size = work.weights.get(model, {}), len(work.tokens)
    options = {
        "beam_size": width,
        "beam_size_token": size,
        "beam_threshold": THRESHOLD,
        "lm_weight": weights.get("lm_weight", 0.0) * float(np.log(10)),  # KenLM speaks of log10
        "sil_score": 0.0,
        "log_add": True,
        "criterion_type": CriterionType.CTC,
    }
    space = work.tokens.index("\u2581")
    if model == "words":
        dictionary = Dictionary(work.words)
        kenlm = KenLM(str(work.folder / "words.arpa"), dictionary)
        trie, start = Trie(size, space), kenlm.start(False)
        for i, word in enumerate(work.words):
            spelled = [work.tokens.index(letter) for letter in word] + [space]
            trie.insert(spelled, i, kenlm.score(start, i)[1])
        trie.smear(SmearingMode.MAX)
        options |= {"word_score": weights["word_bonus"], "unk_score": -np.inf}
        unknown = dictionary.entry_size()
        decoder = LexiconDecoder(LexiconDecoderOptions(**options), trie, kenlm, space, BLANK, unknown, [], False)
    else:
        kenlm = KenLM(str(work.folder / "characters.arpa"), Dictionary(work.tokens)) if model == "characters" else None
        decoder = LexiconFreeDecoder(LexiconFreeDecoderOptions(**options), kenlm or ZeroLM(), -1, BLANK, [])

    def read(emissions):
        found = decoder.decode(emissions.ctypes.data, *emissions.shape)
        return work.text(found[0].tokens) if found else ""

    return read


def pyctcdecode(work, width, model):
    """A decoder for sentences, with its defaults."""
    weights = work.weights.get(model, {})
    labels = ["", *work.letters]
    path = str(work.folder / "words.arpa") if model == "words" else None
    options = {"alpha": weights["lm_weight"], "beta": weights["word_bonus"]} if path else {}
    decoder = build_ctcdecoder(labels, path, work.words if path else None, **options)
    return lambda emissions: decoder.decode_beams(emissions, beam_width=width)[0][0]


PEERS = {"flashlight-text": flashlight, "pyctcdecode": pyctcdecode}


def main():
    work = Workload(Path(sys.argv[1]))
    for model, width, (name, make) in itertools.product(("none", "characters", "words"), work.widths, PEERS.items()):
        if (name, model) == ("pyctcdecode", "characters"):
            continue  # it knows models of words only
        read = make(work, width, model)
        read(work.emissions[0])
        seconds = []
        for _ in range(work.repeats if name == "flashlight-text" else 1):  # the other one takes minutes
            begun = time.process_time()
            texts = [read(emissions) for emissions in work.emissions]
            seconds.append(time.process_time() - begun)
        said = {"peer": name, "model": model, "width": width, "seconds": min(seconds), "texts": texts}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
