"""A translator's bundle and features to translations: n-best, log p of the reference, and attention, as Parquet."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from infra.artifact_store import Artifact, open_draft
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Batch, Beam, Hypothesis, Padded
from models.search.attention.teacher_forced_attention import batch_attention
from models.special_tokens import SPECIALS, UNK
from tasks.bundles.model_bundle import Bundle, check_golden_outputs
from tasks.decoding.decode_speech import DecodingConfig
from tasks.decoding.shard_inference import Inputs, infer
from tasks.decoding.translate import LONGEST_SOURCE, cut_source, distinct_texts, most_source_tokens, source_tokenizer
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import TextTokenizer

END = "</s>"
TRANSLATIONS = pa.schema(
    {
        "key": pa.string(),
        "source_text": pa.string(),  # as its tokenizer spells it
        "text": pa.string(),  # of the best hypothesis
        "score": pa.float64(),
        "truncated": pa.bool_(),  # the source was cut, or the text came to the search's limit of length
        "unknown": pa.int32(),  # tokens of source and text that their vocabularies do not have
        "hypotheses": pa.list_(pa.struct({"text": pa.string(), "score": pa.float64()})),  # that differ, best first
        "reference": pa.string(),
        "reference_tokens": pa.int32(),  # EOS among them
        "reference_log_prob": pa.float64(),  # in nats; null for one that is longer than the model's positions
        "source_words": pa.list_(pa.string()),  # that are attended to, END the last
        "words": pa.list_(pa.string()),  # of the best hypothesis, END the last
        "attention": pa.list_(pa.list_(pa.float32())),  # for each of `words` to each of `source_words`; null for none
        "source": pa.string(),  # where the row is from
    }
)
Word = tuple[str, list[int]]  # and the places of its tokens


@step
def decode_translation(bundle: Artifact, features: Artifact, decoding: DecodingConfig) -> Artifact:
    """Translations of one split."""
    check_golden_outputs(bundle, decoding.beam)
    out = open_draft("translations", decode_translation.key(bundle, features, decoding)[:32])
    return infer(out, TRANSLATIONS, partial(translation_rows, beam=decoding.beam), (bundle, features, decoding))


@torch.inference_mode()
def translation_rows(bundle: Bundle, inputs: Inputs, beam: Beam) -> list[dict[str, Any]]:
    """A row of TRANSLATIONS for each pair, in their order. Raises UserError where the bundle holds no translator."""
    spelling, model = source_tokenizer(bundle), bundle.model
    assert isinstance(model, SequenceToSequence), "what has a source tokenizer and says texts translates"
    most = most_source_tokens(model, LONGEST_SOURCE)
    found: dict[str, dict[str, Any]] = {}
    for batch in inputs:
        given = batch.given
        source = cut_source(given, most)
        nbests = model.search(source, beam, bundle.lm)
        nats = _reference_log_probs(model, Batch(batch.keys, source, batch.target))
        said = [torch.tensor(nbest[0].tokens, dtype=torch.long) for nbest in nbests]
        attention = batch_attention(model, source, Padded.stack(said).to(source.data.device))
        for i, (key, nbest) in enumerate(zip(batch.keys, nbests, strict=True)):
            tokens = source.data[i, : int(source.lengths[i])].tolist()
            told = _texts(nbest, tokens, bundle.tokenizer, spelling)
            told["truncated"] |= int(given.lengths[i]) > most
            told |= {"reference_log_prob": nats[i], "reference_tokens": int(batch.target.lengths[i]) + 1}
            found[key] = told | _attention(
                attention[i] if attention else None, (nbest[0].tokens, tokens), (bundle.tokenizer, spelling)
            )
    return inputs.rows(found)


def _reference_log_probs(model: SequenceToSequence, batch: Batch) -> list[float | None]:
    """Of each pair in nats."""
    most = most_source_tokens(model, int(batch.target.lengths.max()) + 1)
    target = Padded(batch.target.data[:, :most], batch.target.lengths.clamp(max=most))
    log_probs = model.score(Batch(batch.keys, batch.source, target)).double().tolist()
    return [p if n <= most else None for p, n in zip(log_probs, batch.target.lengths.tolist(), strict=True)]


def _texts(
    nbest: list[Hypothesis], source: list[int], tokenizer: TextTokenizer, spelling: TextTokenizer
) -> dict[str, Any]:
    texts, best = distinct_texts(nbest, tokenizer), nbest[0]
    return {
        "source_text": " ".join(word for word, _ in split_words(source, spelling)),
        "text": texts[0][0],
        "score": best.score,
        "truncated": best.truncated,
        "unknown": source.count(UNK) + best.tokens.count(UNK),
        "hypotheses": [{"text": text, "score": score} for text, score in texts],
    }


def _attention(
    paid: Tensor | None, tokens: tuple[tuple[int, ...], list[int]], tokenizers: tuple[TextTokenizer, TextTokenizer]
) -> dict[str, Any]:
    """Of tokens (U + 1, T + 1) that of words: what all tokens of a source word get, on average of a word's tokens."""
    said, read = ([*split_words(ids, by), (END, [len(ids)])] for ids, by in zip(tokens, tokenizers, strict=True))
    told: dict[str, Any] = {"words": [word for word, _ in said], "source_words": [word for word, _ in read]}
    if paid is None or paid.shape[1] != len(tokens[1]) + 1:  # the memory has other steps than the source's tokens
        return told | {"attention": None}
    columns = torch.stack([paid[:, places].sum(1) for _, places in read], 1)
    return told | {"attention": torch.stack([columns[places].mean(0) for _, places in said]).tolist()}


def split_words(tokens: Sequence[int], tokenizer: TextTokenizer) -> list[Word]:
    """The words of a text, each with the places of its tokens: a token that adds a word to what is decoded begins it.
    One that the vocabulary does not have is a word of its own; one that adds nothing, a space, goes with the next.
    """
    words, waiting, begin, before = list[Word](), list[int](), 0, list[str]()
    for place, token in enumerate(tokens):
        written = [] if token == UNK else tokenizer.decode(tokens[begin : place + 1]).split()
        waiting.append(place)
        if token == UNK:
            words.append((SPECIALS[UNK], waiting))
            waiting, begin = [], place + 1
        elif len(written) > len(before):
            words.append((written[-1], waiting))
            waiting = []
        elif written != before:
            words[-1] = (written[-1], [*words[-1][1], *waiting])
            waiting = []
        before = written
    if words:
        words[-1][1].extend(waiting)
    return words
