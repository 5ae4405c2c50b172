"""A transcript as a file: text, JSON, subtitles, and what scoring tools and Praat read.

txt: a line a segment. json: `Transcript.to_dict` with the recording's name. srt, vtt: see subtitles.py beside it.
ctm: a line a word (NIST). textgrid: tiers of words and segments (Praat). trn: the words and `(name)` (SCTK's sclite).
Where the model knows no times, ctm, textgrid and subtitles share out a segment by the lengths of its words.
"""

import json
import re
from collections.abc import Callable

from tasks.decoding.alignment.alignment_formats import ctm, textgrid_tiers
from tasks.decoding.alignment.forced_alignment import AlignedTranscript
from tasks.decoding.alignment.word_timestamps import TimedToken
from tasks.transcription.subtitles import srt, timed_words, vtt
from tasks.transcription.transcript import Transcript


def _txt(transcript: Transcript, _name: str) -> str:
    return "".join(f"{segment.text}\n" for segment in transcript.segments if segment.words)


def _json(transcript: Transcript, name: str) -> str:
    return json.dumps({"recording": name} | transcript.to_dict(), ensure_ascii=False, indent=1) + "\n"


def _ctm(transcript: Transcript, name: str) -> str:
    return "".join(
        ctm(AlignedTranscript(_timed(transcript.of_channel(channel)), [], transcript.seconds), name, channel + 1)
        for channel in transcript.channels
    )


def _textgrid(transcript: Transcript, _name: str) -> str:
    """Times in tenths of milliseconds, as they are written: what is shorter is no interval there. Tiers of each channel
    where there are several.
    """
    tiers = {}
    for channel in transcript.channels:
        heard = transcript.of_channel(channel)
        suffix = f" {channel + 1}" if len(transcript.channels) > 1 else ""
        segments = [TimedToken(s.text, round(s.start, 4), round(s.end, 4)) for s in heard.segments]
        tiers |= {f"words{suffix}": _timed(heard), f"segments{suffix}": segments}
    return textgrid_tiers(tiers, round(transcript.seconds, 4))


def _timed(transcript: Transcript) -> list[TimedToken]:
    every = timed_words(transcript)
    return [TimedToken(w.text, round(w.start or 0.0, 4), round(w.end or 0.0, 4), w.confidence) for w in every]


def _trn(transcript: Transcript, name: str) -> str:
    key = re.sub(r"[\s()]+", "_", name)
    return f"{transcript.text} ({key})\n".lstrip(" ")


FORMATS: dict[str, tuple[str, Callable[[Transcript, str], str]]] = {
    "txt": (".txt", _txt),
    "json": (".json", _json),
    "srt": (".srt", lambda transcript, _name: srt(transcript)),
    "vtt": (".vtt", lambda transcript, _name: vtt(transcript)),
    "ctm": (".ctm", _ctm),
    "textgrid": (".TextGrid", _textgrid),
    "trn": (".trn", _trn),
}


def format_transcript(transcript: Transcript, name: str, how: str) -> str:
    """name: of the recording. how: one of FORMATS."""
    return FORMATS[how][1](transcript, name)
