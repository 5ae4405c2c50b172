"""A recognizer that learned to write tones: each letter is one of its own, a space is silence."""

import numpy as np
import torch
from untrained import BANDS, TRANSDUCER, bundled, tokenizer

from models import wav2letter
from models.interface import Batch, Padded
from tasks.bundles.model_bundle import AudioConfig
from tasks.features.front_end import CMVN, FrontEnd, extract_frames

RATE = 8000
HERTZ = {" ": 0, "a": 400, "b": 800, "c": 1400, "d": 2200}
FRONT_END = FrontEnd(mels=BANDS)
CONVOLUTIONS = wav2letter.Config(channels=(32, 32), windows=(9, 9), dilations=(1, 1), strides=(2, 1), criterion="ctc")


def spoken(text, random):
    """Samples at RATE, 0.125 s for each character and the end, in soft noise."""
    time = np.arange(RATE // 8) / RATE
    tones = [0.4 * np.sin(np.pi * time * 8) * np.sin(2 * np.pi * HERTZ[character] * time) for character in text + " "]
    return (np.concatenate(tones) + 0.003 * random.standard_normal(len(time) * len(tones))).astype(np.float32)


def recognizer_of_tones(config=TRANSDUCER, steps=300):
    """Its bundle, after training on texts that are new each time: 20 s for the transducer, 3 for CONVOLUTIONS."""
    random = np.random.default_rng(0)
    frames = extract_frames(spoken("abcd ", random), RATE, FRONT_END)
    normalizer = CMVN("corpus", tuple(frames.mean(0).tolist()), tuple(frames.std(0).tolist()))
    torch.manual_seed(0)
    model = config.build(BANDS, 4 + len(HERTZ)).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(lesson(random, normalizer)).mean().backward()
        optimizer.step()
    sound = AudioConfig(FRONT_END, normalizer)
    return bundled(config, model.state_dict(), tokenizer(list(HERTZ)), sound)


def lesson(random, normalizer):
    """Eight texts in which no character comes twice in a row."""
    jumps = [random.integers(1, len(HERTZ), random.integers(2, 10)) for _ in range(8)]
    texts = ["".join(list(HERTZ)[k] for k in steps.cumsum() % len(HERTZ)).strip() for steps in jumps]
    heard = [torch.from_numpy(normalizer(extract_frames(spoken(text, random), RATE, FRONT_END))) for text in texts]
    written = [torch.tensor([4 + list(HERTZ).index(character) for character in text]) for text in texts]
    return Batch(tuple(texts), Padded.stack(heard), Padded.stack(written))
