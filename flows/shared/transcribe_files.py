"""Recordings to transcript files, a few minutes of sound at a time; what cannot be read is told and passed over."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from flows.shared.audio_files import STANDARD_OUTPUT, Recording
from infra import storage
from infra.errors import UserError, explain_full_disk
from tasks.audio.live_audio_input import AudioInput
from tasks.audio.read_recording import read_recording
from tasks.steps.progress import Progress
from tasks.transcription.transcribe_audio import Transcriber
from tasks.transcription.transcript import Transcript
from tasks.transcription.transcript_formats import FORMATS, format_transcript

SECONDS_AT_ONCE, FILES_AT_ONCE = 300, 64  # of recordings that are held and decoded together


@dataclass(frozen=True, kw_only=True)
class TranscriptFiles:
    """Where transcripts are written: a folder or s3:// prefix, or STANDARD_OUTPUT. formats: keys of FORMATS."""

    out: str
    formats: tuple[str, ...]

    def write(self, recording: Recording, transcript: Transcript) -> None:
        """A file a format, each whole or not there. Raises UserError where it cannot be written."""
        title = recording.name.rpartition("/")[2].encode(errors="backslashreplace").decode()
        for how in self.formats:
            content = format_transcript(transcript, title, how).encode()
            if self.out == STANDARD_OUTPUT:
                sys.stdout.buffer.write(content)
                sys.stdout.flush()
                continue
            place = storage.join(self.out, recording.name + FORMATS[how][0])
            try:
                with explain_full_disk():
                    storage.write(place, content)
            except OSError as error:
                raise UserError(f"{place}: cannot be written ({error.strerror or error})") from error


def transcribe_files(transcriber: Transcriber, recordings: Sequence[Recording], target: TranscriptFiles) -> int:
    """How many of the recordings failed, each with a line on standard error."""
    failed = 0
    with Progress("transcribe", len(recordings), "files") as progress:
        for group in _groups(recordings):
            for recording, found in _transcribed(transcriber, group):
                try:
                    if isinstance(found, UserError):
                        raise found
                    target.write(recording, found)
                    if any(segment.truncated for segment in found.segments):
                        hint = "the search came to its limit of length, beam.max_length, and more may have been said"
                        tqdm.write(f"{recording.place}: {hint}", file=sys.stderr)
                except UserError as problem:
                    failed += 1
                    told = str(problem)
                    tqdm.write(told if recording.place in told else f"{recording.place}: {told}", file=sys.stderr)
                progress.advance(note=recording.name)
    return failed


Read = tuple[Recording, AudioInput | UserError]


def _groups(recordings: Iterable[Recording]) -> Iterator[list[Read]]:
    """So many that a batch of windows is found among them, so few that they fit in memory."""
    group, seconds = list[Read](), 0.0
    for recording in recordings:
        try:
            read = read_recording(recording.place)
            seconds += read.seconds
        except UserError as problem:
            read = problem
        group.append((recording, read))
        if seconds >= SECONDS_AT_ONCE or len(group) >= FILES_AT_ONCE:
            yield group
            group, seconds = [], 0.0
    if group:
        yield group


def _transcribed(transcriber: Transcriber, group: Sequence[Read]) -> Iterator[tuple[Recording, Transcript | UserError]]:
    """All at once; where that fails for one, each alone."""
    good = [read for _, read in group if not isinstance(read, UserError)]
    try:
        found: Iterator[Transcript | UserError] = iter(transcriber(good))
    except UserError:
        found = (_alone(transcriber, read) for read in good)
    for recording, read in group:
        yield recording, read if isinstance(read, UserError) else next(found)


def _alone(transcriber: Transcriber, read: AudioInput) -> Transcript | UserError:
    try:
        return transcriber([read])[0]
    except UserError as problem:
        return problem
