"""A translator of English numbers to German ones in reversed order, trained in a few seconds.

Its bundle is made once a process, and put into the artifact store of each test that asks for it.
"""

import io
from functools import cache

import numpy as np
import torch

from infra.artifact_store import new_draft
from models import transformer
from models.interface import Batch, Beam, Padded
from tasks.bundles.model_bundle import BundleContents, write_bundle
from tasks.corpora.utterance import QUARANTINE
from tasks.features.extract_features import INDEX
from tasks.features.feature_shards import to_npy
from tasks.ingest import tar
from tasks.steps.parquet_io import to_parquet, to_table

ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
GERMAN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
LONGEST = 4
CONFIG = transformer.Config(
    size=32, heads=2, feed_forward_size=64, encoder_layers=1, decoder_layers=1, norm="pre", dropout=0.0,
    label_smoothing=0.0,
)  # fmt: skip
KEEP = {"case": "keep", "punctuation": "keep"}
FIRST = 4  # the id of the first word


def reversed_number(text):
    return " ".join(GERMAN[ENGLISH.index(word)] for word in reversed(text.split()))


def numbers(count, seed=0, longest=LONGEST):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(ENGLISH, random.integers(1, longest + 1))) for _ in range(count)]


def vocabularies():
    with new_draft("vocabularies") as out:
        out.put_json("tokenizer.json", {"kind": "words", "text": KEEP, "symbols": GERMAN})
        out.put_json("source/tokenizer.json", {"kind": "words", "text": KEEP, "symbols": ENGLISH})
    return out.result()


def pairs(count, generator):
    """Ids of sources and targets; words of both have the same places."""
    lengths = torch.randint(1, LONGEST + 1, (count,), generator=generator).tolist()
    sources = [torch.randint(FIRST, FIRST + len(ENGLISH), (n,), generator=generator) for n in lengths]
    return Batch(("",) * count, Padded.stack(sources), Padded.stack([one.flip(0) for one in sources]))


@cache
def trained_weights(updates=600):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CONFIG.build(FIRST + len(ENGLISH), FIRST + len(GERMAN))
        generator, optimizer = torch.Generator().manual_seed(1), torch.optim.Adam(model.parameters(), 5e-3)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, updates)
        for _ in range(updates):
            loss = model.train().loss(pairs(32, generator)).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def digit_translator(updates=600, beam=None):
    """The bundle's artifact."""
    golden = {f"golden-{i}": np.arange(FIRST, FIRST + i, dtype=np.int32) for i in (1, 3)}
    return write_bundle(
        BundleContents(
            config=CONFIG,
            sizes=(FIRST + len(ENGLISH), FIRST + len(GERMAN)),
            weights=trained_weights(updates),
            tokenizer=vocabularies(),
            sound=None,
            beam=beam or Beam(width=3),
            training={"history": HISTORY, "languages": {"source": "en", "target": "de"}},
            golden=golden,
        )
    )


HISTORY = [{"epoch": 1, "loss": 1.2, "dev_loss": 0.9}, {"epoch": 2, "loss": 0.4, "dev_loss": 0.3}]


def digit_features(texts, split="test", shards=2):
    """Features of pairs, as tasks/features/extract_features.py makes them; references are right."""
    rows, source, target = [], {w: i for i, w in enumerate(ENGLISH, FIRST)}, {w: i for i, w in enumerate(GERMAN, FIRST)}
    with new_draft("features") as out:
        for number in range(shards):
            name = f"{split}-{number:06}.tar"
            file = io.BytesIO()
            with tar.SampleWriter(file) as shard:
                for i, text in list(enumerate(texts))[number::shards]:
                    read, said = text.split(), reversed_number(text)
                    ids = [source[word] for word in read], [target[word] for word in said.split()]
                    parts = {n: to_npy(np.array(x, np.int32)) for n, x in zip(("npy", "tokens.npy"), ids, strict=True)}
                    offset, size = shard.write(f"{i:06}", parts)
                    row = {"key": f"{i:06}", "split": split, "shard": name, "offset": offset, "size": size}
                    row |= {"frames": len(read), "tokens": len(read), "steps_needed": len(read), "seconds": 0.0}
                    rows.append(row | {"speaker": "", "text": said, "source": f"numbers.txt:{i + 1}"})
            out.put(name, file.getvalue())
        out.put("index.parquet", to_parquet(to_table(rows, INDEX)))
        out.put("quarantine.parquet", to_parquet(QUARANTINE.empty_table()))
    return out.result()
