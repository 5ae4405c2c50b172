"""A recognizer that nobody trained and that reads tones without error: what it hears at a frame is there or nearby."""

import numpy as np
import torch
import torch.nn.functional as F
from tones import HERTZ
from torch import nn
from untrained import BANDS, tokenizer

from models.families.ctc_model import CTCModel
from models.interface import Beam, Padded
from models.special_tokens import BLANK
from tasks.bundles.model_bundle import AudioConfig, Bundle
from tasks.features.front_end import CMVN, FrontEnd, extract_frames
from tasks.text.tokenizer import load_tokenizer

FRONT_END = FrontEnd(mels=BANDS, sample_rate=8000, normalize="none")
LOUD = 4.0  # log power of the loudest band within a tone
SPACE_FRAMES = 9  # of quiet that are a space


class ToneReader(CTCModel):
    """Each frame says the letter whose band is loudest; a long enough pause is a space."""

    config = None

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))
        letters = [letter for letter in HERTZ if letter != " "]
        bands = []
        for letter in letters:
            wave = 0.4 * np.sin(2 * np.pi * HERTZ[letter] * np.arange(4000) / 8000).astype(np.float32)
            bands.append(int(extract_frames(wave, 8000, FRONT_END).mean(0).argmax()))
        self.bands = bands

    def loss(self, batch):
        raise NotImplementedError

    def emit(self, source):
        power = source.data.masked_fill(~source.mask()[..., None], -20)[..., self.bands]  # (B, T, letters)
        loudest, letter = power.max(-1)
        near = F.max_pool1d(F.pad(loudest[:, None], (SPACE_FRAMES // 2,) * 2, value=-20), SPACE_FRAMES, 1)[:, 0]
        space, first = 4 + list(HERTZ).index(" "), 4 + 1
        said = torch.where(loudest > LOUD, letter + first, torch.where(near < LOUD, space, BLANK))
        chosen = F.one_hot(said, 4 + len(HERTZ)).float() * self.scale
        return Padded(chosen.log_softmax(-1), source.lengths)


def tone_reader(width=4):
    """Its bundle."""
    sound = AudioConfig(FRONT_END, CMVN("none"))
    letters = load_tokenizer(tokenizer(list(HERTZ)))
    return Bundle(ToneReader().eval(), letters, sound, Beam(width=width))
