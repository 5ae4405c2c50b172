"""Recordings to transcript files; what cannot be read is told and passed over."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from flows.shared.audio_files import STANDARD_OUTPUT, Recording
from infra import storage
from infra.errors import UserError, explain_full_disk
from tasks.steps.progress import Progress
from tasks.transcription.transcribe_audio import Transcriber
from tasks.transcription.transcript import Transcript
from tasks.transcription.transcript_formats import FORMATS, format_transcript


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
    """How many of the recordings failed, each with a line on standard error. Of one that is damaged, what could be
    read is written, and it counts as failed.
    """
    failed = 0
    with Progress("transcribe", len(recordings), "files") as progress:
        found = transcriber.transcribe(recording.place for recording in recordings)
        for recording, transcript in zip(recordings, found, strict=True):
            try:
                if isinstance(transcript, UserError):
                    raise transcript
                target.write(recording, transcript)
                if any(segment.truncated for segment in transcript.segments):
                    hint = "the search came to its limit of length, beam.max_length, and more may have been said"
                    tqdm.write(f"{recording.place}: {hint}", file=sys.stderr)
                if transcript.flaw:
                    raise UserError(transcript.flaw)
            except UserError as problem:
                failed += 1
                told = str(problem)
                tqdm.write(told if recording.place in told else f"{recording.place}: {told}", file=sys.stderr)
            progress.advance(note=recording.name)
    return failed
