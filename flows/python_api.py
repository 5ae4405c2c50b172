"""Trained models in Python: recognizers, translators, captioners, language models, classifiers, by registered name.

    import scriptorium

    model = scriptorium.load_recognizer("asr@champion")          # or the path of a bundle; load() takes any kind
    found = model.transcribe("talk.mp3")                         # or the bytes of a file, or samples with their rate
    print(found.text, found.confidence)
    for word in found.words:
        print(word.start, word.end, word.text, word.confidence)

A path may be s3://. Samples are one channel, floats in [-1, 1] or whole numbers of 16 or 32 bits, with `rate` in hertz.
What the user can mend is a `UserError`, one line.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from PIL import Image

from flows.shared.evaluation_plan import load_captioner as captioner_of
from flows.shared.transcription_plan import load_transcriber
from flows.shared.translation_setup import load_translator as translator_of
from infra import storage
from infra.errors import UserError
from models.interface import Beam
from tasks.audio.audio_values import Audio, to_audio_input, to_samples, to_samples_or_file
from tasks.bundles.bundle_files import read_sight
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import Bundle, bundle_front_end, is_classifier, is_translator, load_bundle
from tasks.decoding.alignment.forced_alignment import CTCAligner
from tasks.decoding.caption_photos import Caption
from tasks.decoding.classify_sequence import Classification, classify_sequence
from tasks.decoding.generate_text import Prompt, generate_text
from tasks.decoding.score_text import TextScore, load_text_model, score_text
from tasks.decoding.streaming_recognizer import PartialTranscript, make_recognizer
from tasks.decoding.translate import Translation
from tasks.images.photo import BadPhoto
from tasks.transcription.transcript import Transcript, Word

PhotoGiven = str | os.PathLike[str] | bytes | Image.Image
Settings = Mapping[str, Any] | Sequence[str]  # {"beam.width": 16}, or ["beam.width=16"], as --set takes them


class StreamedWord(NamedTuple):
    """start, end: seconds since the stream began."""

    text: str
    start: float
    end: float


class StreamedTranscript(NamedTuple):
    """What was heard so far. final: so many of the words stay as they are."""

    words: tuple[StreamedWord, ...]
    final: int

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


class Stream:
    """Speech that comes in pieces."""

    def __init__(self, bundle: Bundle, rate: int) -> None:
        self._recognizer, self._heard = make_recognizer(bundle, rate, Beam(width=1)), StreamedTranscript((), 0)
        self._last = np.empty(0, np.float32)

    def hear(self, samples: np.ndarray) -> StreamedTranscript:
        """The next samples (n,); what is known by now."""
        self._last = to_samples(samples)
        return self._next(self._recognizer.hear(self._last, last=False))

    def finish(self) -> StreamedTranscript:
        """What was heard of all; the stream has ended."""
        return self._next(self._recognizer.hear(self._last[:0], last=True))

    def _next(self, heard: PartialTranscript | None) -> StreamedTranscript:
        if heard is not None:
            words = tuple(StreamedWord(word.text, word.begin, word.end) for word in heard.words)
            self._heard = StreamedTranscript(words, heard.final)
        return self._heard


class SpeechRecognizer:
    """A recognizer with its beam, language model and normalizer. `load_recognizer` makes one."""

    def __init__(self, model: str, settings: Settings = ()) -> None:
        self.name = model
        self._transcriber = load_transcriber(model, _as_settings(settings))

    def transcribe(self, audio: Audio, rate: int | None = None) -> Transcript:
        """Text, words with seconds and confidence, n-best. rate: of samples; a file has its own.

        Raises UserError for what is no sound, is cut off, or has no rate.
        """
        return self.transcribe_batch([audio], rate)[0]

    def transcribe_batch(self, audios: Sequence[Audio], rate: int | None = None) -> list[Transcript]:
        """Many at once, decoded in batches of similar length."""
        return self._transcriber([to_samples_or_file(audio, rate) for audio in audios])

    def stream(self, rate: int) -> Stream:
        """A stream of samples at this rate. Its text is that of a greedy search, without language model."""
        return Stream(self._bundle, rate)

    def align(self, audio: Audio, text: str, rate: int | None = None) -> tuple[Word, ...]:
        """When each word of a known text was said, and how surely. Raises UserError where the model is not of CTC, or
        the text cannot be spelled or does not fit.
        """
        aligned = CTCAligner(self._bundle, self.name)(to_audio_input(audio, rate), text)
        return tuple(Word(word.text, word.begin, word.end, word.confidence) for word in aligned.words)

    @cached_property
    def _bundle(self) -> Bundle:
        """On the CPU, where streams and alignments of one recording are made."""
        bundle = self._transcriber.bundle
        return replace(bundle, model=copy.deepcopy(bundle.model).cpu())


class TranslationModel:
    """A translator with its beam. `load_translator` makes one."""

    def __init__(self, model: str, settings: Settings = ()) -> None:
        self.name = model
        self._translator = translator_of(model, _as_settings(settings))

    @overload
    def translate(self, text: str, prefix: str = "") -> Translation: ...
    @overload
    def translate(self, text: list[str] | tuple[str, ...], prefix: Sequence[str] = ()) -> list[Translation]: ...
    def translate(
        self, text: str | list[str] | tuple[str, ...], prefix: str | Sequence[str] = ()
    ) -> Translation | list[Translation]:
        """A text, or many at once, which are translated in batches of similar length and given back in their order.

        prefix: the words that the translation begins with; of many texts one each, "" for none.
        """
        if isinstance(text, str):
            return self._translator.translate([text], [prefix] if isinstance(prefix, str) else list(prefix))[0]
        if not isinstance(text, list | tuple):
            raise UserError(f"model {self.name} reads text: give it as str or a list, not {type(text).__name__}")
        if isinstance(prefix, str):
            raise UserError("many texts have a prefix each: give as many")
        return self._translator.translate(text, prefix)

    def score(self, source: str, target: str) -> float:
        """log p of a translation, given its source, in nats. Raises UserError for one that is too long."""
        return self._translator.score([source], [target])[0]


class CaptioningModel:
    """A captioner with its beam and its backbone. `load_captioner` makes one."""

    def __init__(self, model: str, settings: Settings = ()) -> None:
        self.name = model
        self._captioner = captioner_of(model, _as_settings(settings))

    def caption(self, photo: PhotoGiven) -> Caption:
        """A photo, the path or bytes of a file, or as Pillow has it: text, n-best, and for each word where the model
        looked. Raises UserError for what is no photo, or is damaged, too large or too small.
        """
        return self.caption_batch([photo])[0]

    def caption_batch(self, photos: Sequence[PhotoGiven]) -> list[Caption]:
        """Many at once."""
        contents = [photo if isinstance(photo, bytes | Image.Image) else _read_photo(photo) for photo in photos]
        captions = list[Caption]()
        for photo, found in zip(photos, self._captioner.caption(contents, attention=True), strict=True):
            if isinstance(found, BadPhoto):
                name = "the bytes given" if isinstance(photo, bytes) else str(photo)
                raise UserError(f"{name}: {found}")
            captions.append(found)
        return captions


class LanguageModel:
    """A neural language model or an n-gram. `load_language_model` makes one."""

    def __init__(self, model: str) -> None:
        artifact = find_model(model, ("bundle", "ngram"))
        self.name = model
        self._model = load_text_model(artifact, model)

    def score(self, text: str) -> TextScore:
        """log_prob in nats, perplexity, and each token's log-probability; see tasks/decoding/score_text.py."""
        return score_text(self._model, text)

    def continue_(
        self, text: str = "", *, length: int = 200, temperature: float = 0.8, top_k: int = 0, seed: int = 1
    ) -> str:
        """So many tokens that the model writes after the text. temperature 0 takes the most probable; the same seed
        gives the same text. Raises UserError for a text that cannot be spelled, ValueError for numbers that cannot be.
        """
        prompt = Prompt(context=text, length=length, temperature=temperature, top_k=top_k, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        _, *written = generate_text(self._model.model, self._model.tokenizer, prompt, generator)
        return "".join(written)


class Classifier:
    """A classifier of recordings or of texts. `load_classifier` makes one."""

    def __init__(self, model: str) -> None:
        artifact = find_model(model)
        if not is_classifier(artifact):
            raise UserError(f"model {model}: not a classifier; give one that train_classifier made")
        self.name, self._bundle = model, load_bundle(artifact)

    def classify(self, given: Audio, rate: int | None = None) -> Classification:
        """A recording as `SpeechRecognizer.transcribe` takes it, or the text itself where the model reads text.

        Raises UserError for what is no sound, or a text of which nothing is left.
        """
        if self._bundle.spelling is None:
            return classify_sequence(self._bundle, to_audio_input(given, rate))
        if not isinstance(given, str):
            raise UserError(f"model {self.name} reads text: give it as str, not {type(given).__name__}")
        return classify_sequence(self._bundle, given)


def load(
    model: str | os.PathLike[str], settings: Settings = ()
) -> SpeechRecognizer | TranslationModel | CaptioningModel | LanguageModel | Classifier:
    """A model of any kind: NAME@ALIAS or NAME/VERSION in MLflow's registry, or the path of a bundle.

    settings: of a recognizer, a translator or a captioner, as --set of transcribe takes them: {"beam.width": 16}.
    Raises UserError where there is none, and for settings of another kind of model.
    """
    place = os.fspath(model)
    artifact = find_model(place, ("bundle", "ngram"))
    if artifact.kind == "bundle" and not is_classifier(artifact) and bundle_front_end(artifact):
        return SpeechRecognizer(place, settings)
    if artifact.kind == "bundle" and is_translator(artifact):
        return TranslationModel(place, settings)
    if artifact.kind == "bundle" and read_sight(artifact):
        return CaptioningModel(place, settings)
    if settings:
        raise UserError(f"model {place}: neither a recognizer nor a translator nor a captioner: they have settings")
    return Classifier(place) if artifact.kind == "bundle" and is_classifier(artifact) else LanguageModel(place)


def load_recognizer(model: str | os.PathLike[str], settings: Settings = ()) -> SpeechRecognizer:
    """As `load`, for recognizers alone."""
    return SpeechRecognizer(os.fspath(model), settings)


def load_translator(model: str | os.PathLike[str], settings: Settings = ()) -> TranslationModel:
    """As `load`, for translators alone."""
    return TranslationModel(os.fspath(model), settings)


def load_captioner(model: str | os.PathLike[str], settings: Settings = ()) -> CaptioningModel:
    """As `load`, for captioners alone."""
    return CaptioningModel(os.fspath(model), settings)


def load_language_model(model: str | os.PathLike[str]) -> LanguageModel:
    """As `load`, for language models alone."""
    return LanguageModel(os.fspath(model))


def load_classifier(model: str | os.PathLike[str]) -> Classifier:
    """As `load`, for classifiers alone."""
    return Classifier(os.fspath(model))


def _read_photo(path: str | os.PathLike[str]) -> bytes:
    place = os.fspath(path)
    try:
        return storage.read(place)
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror or error})") from error


def _as_settings(settings: Settings) -> list[str]:
    if isinstance(settings, Mapping):
        return [f"{key}={_written(value)}" for key, value in settings.items()]
    return list(settings)


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
