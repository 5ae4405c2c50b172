"""A voice that the demo's model is bad at, as a corpus: 20 sentences to learn from, of which 4 are dev, and 40 others.

    python -m tests.benchmarks.unseen_voice FOLDER

The sentences are of the demo corpus' test split, which no model of the demo was trained on; the voice is a fast and
high one of another English. flows/recipes/README.md has what fine-tuning makes of it.
"""

import json
import sys
from pathlib import Path

import soundfile

from tasks.corpora.readers.demo import Espeak, SpeechVoice, sentences

VOICE = SpeechVoice("en-gb-scotland+f5", 230, 90)
PARTS = {"train": slice(0, 16), "dev": slice(16, 20), "test": slice(20, 60)}


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    espeak, texts = Espeak(), sentences(0)["test"]
    for split, part in PARTS.items():
        rows = []
        for number, text in enumerate(texts[part]):
            name = f"{split}{number:02}.wav"
            soundfile.write(folder / name, espeak.say(text, VOICE), espeak.sample_rate)
            rows.append(json.dumps({"audio_filepath": name, "text": text, "speaker": VOICE.name}))
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
