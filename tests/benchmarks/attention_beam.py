"""The attention beam over 32 utterances at once against the same search one utterance at a time: `attention_beam()`.

The models have random weights, so hypotheses are as long as they may be, a token for two frames: of 1.2 to 3 seconds
of speech, 60 to 150 tokens. The ratio is of the processor time of the whole search, listening too, in one thread, the
best of some rounds. It falls as the model grows: then the hypotheses of one utterance already fill the processor.
"""

import time

import torch

from flows.recipes import asr_demo
from models.interface import Beam, Hypothesis, Model, Padded
from models.listen_attend_spell import Config

UTTERANCES, BANDS, CHARACTERS, FRAMES = 32, 40, 32, (120, 300)
ROUNDS = 2
MODELS = {"demo": (asr_demo.listen_attend_spell_demo().model, 5.0), "Chan et al. 2015": (Config(), 3.0)}
BEAMS = {
    "greedy": Beam(width=1, max_length=1000),
    "beam 8": Beam(width=8, max_length=1000),
    "beam 8, length norm, coverage": Beam(width=8, max_length=1000, length_norm=0.6, coverage=0.1),
    "beam 8, CTC": Beam(width=8, max_length=1000, ctc_weight=0.3),
}


def attention_beam() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lengths = torch.linspace(*FRAMES, UTTERANCES).long().flip(0)
    source = Padded.stack([torch.randn(int(n), BANDS) for n in lengths])
    for name, (config, floor) in MODELS.items():
        model = config.build(BANDS, CHARACTERS).eval()
        for called, beam in BEAMS.items():
            if beam.ctc_weight and not config.ctc_weight:
                continue
            alone, slow = timed(model, [row(source, b) for b in range(UTTERANCES)], beam)
            together, fast = timed(model, [source], beam)
            different = sum(one[0].tokens != other[0].tokens for one, other in zip(alone, together, strict=True))
            told = f"{UTTERANCES / fast:7.1f} utterances/s, {UTTERANCES / slow:6.1f} one at a time"
            other = f"   {different} of {UTTERANCES} differ" * (different > 0)
            print(f"{f'{name}, {called}':<42}{told}{slow / fast:>7.1f}   at least {floor:.0f}{other}", flush=True)


def timed(model: Model, sources: list[Padded], beam: Beam) -> tuple[list[list[Hypothesis]], float]:
    """What is found, and the seconds of the fastest round."""
    seconds, found = [], []
    for _ in range(ROUNDS):
        begun = time.process_time()
        found = [nbest for source in sources for nbest in model.search(source, beam)]
        seconds.append(time.process_time() - begun)
    return found, min(seconds)


def row(source: Padded, b: int) -> Padded:
    return Padded(source.data[b : b + 1, : source.lengths[b]], source.lengths[b : b + 1])


if __name__ == "__main__":
    attention_beam()
