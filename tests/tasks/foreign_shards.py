"""A WebDataset as others make it, by webdataset's own writer: clips, texts, members that we do not know, misfits."""

import io
import json

import soundfile
from small_corpora import tone
from webdataset import ShardWriter

MISFITS = {  # what a sample lacks or has too much of, and the reason it gets
    "mute": "empty transcript",
    "silent": "no audio",
    "broken": "malformed row",
    "listed": "malformed row",
    "picture": "image",
    "cut": "truncated",
    "stereo": "several clips",
}


def wav(number, seconds=0.4):
    file = io.BytesIO()
    soundfile.write(file, tone(number, seconds), 8000, format="WAV")
    return file.getvalue()


def sample(number, **members):
    """A clip with its text in a .txt, its speaker in a .json, a label, and two members that are nobody's business."""
    usual = {
        "wav": wav(number),
        "txt": f"Sentence number {number}.",
        "json": json.dumps({"speaker": f"s{number % 3}", "age": 30 + number, "duration": 0.4}),
        "cls": "ab"[number % 2],
        "features.npz": b"not ours",
        "__meta__": "nor this",
    }
    found = {"__key__": f"sub/clip.{number}".replace(".", "_"), **usual, **members}
    return {name: value for name, value in found.items() if value is not None}


def misfits(first=900):
    """A sample for each of MISFITS, and one that has only members of other kinds."""
    found = [
        sample(first, txt=None),
        sample(first + 1, wav=None),
        sample(first + 2, json="{not json"),
        sample(first + 3, json="[1, 2]"),
        sample(first + 4, wav=None, jpg=b"\xff\xd8\xff"),
        sample(first + 5, wav=wav(1)[:900]),
        sample(first + 6, wav=None, **{"left.wav": wav(2), "right.wav": wav(3)}),
        {"__key__": "readme", "md": b"# about"},
    ]
    for name, one in zip(MISFITS, found, strict=False):
        one["__key__"] = name
    return found


def write_shards(folder, samples, name="%06d.tar", most=10):
    """The samples in tars of so many each; the pattern that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(f"{folder}/{name}", maxcount=most, verbose=0) as writer:
        for one in samples:
            writer.write(one)
    last = (len(samples) - 1) // most
    return f"{folder}/{name.replace('%06d', f'{{000000..{last:06}}}')}"
