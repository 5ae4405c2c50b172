"""Modified Kneser-Ney as it stands in the paper, with dictionaries; and small texts to train on."""

import math
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

from infra.artifact_store import new_draft
from models.special_tokens import BOS, EOS, SPECIALS
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text
from tasks.ngram.text_lines import LineSplitConfig
from tasks.ngram.train_ngram import NGramConfig, NGramTrainingConfig, train_ngram
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import FILE

LETTERS = "abcd"
PREDICTED = range(EOS, len(SPECIALS) + len(LETTERS))
AS_IT_STANDS = NormalizationConfig(case="keep", punctuation="keep")
ALL_COUNTED = LineSplitConfig(dev_share=1e-9)


def ids(sentence):
    """Letters as ids; what is none of LETTERS is <unk>."""
    return [len(SPECIALS) + LETTERS.index(c) if c in LETTERS else 3 for c in sentence]


def tokenizer_of(symbols, kind="characters"):
    with new_draft("tokenizer") as out:
        out.put_json(FILE, {"kind": kind, "text": asdict(AS_IT_STANDS), "symbols": list(symbols)})
    return out.result()


def text_of(*documents, shard_mb=1e-6):
    """Each document a list of lines, or bytes; by default each in a shard of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for number, lines in enumerate(documents):
            data = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
            Path(folder, f"{number:03}.txt").write_bytes(data)
        corpus = parse_corpus(f"text:{folder}", "documents")
        options = TextIngestConfig(shard_mb=shard_mb, error_budget=1.0)
        return ingest_text.fn(corpus, fingerprint(corpus), options)


def work_of(order=3, prune=(), split=ALL_COUNTED, **options):
    return NGramTrainingConfig(ngram=NGramConfig(order=order, prune=prune, **options), split=split)


def trained(documents, order, prune=(), **options):
    return train_ngram.fn(text_of(*documents), tokenizer_of(LETTERS), work_of(order, prune, **options))


class Slow:
    """p(w | h) by the equations, of sentences of ids."""

    def __init__(self, sentences, order, prune=()):
        self.order = order
        self.prune = [*prune, *[prune[-1] if prune else 0] * (order - len(prune))]
        self.raw: Counter[tuple[int, ...]] = Counter()
        before = defaultdict(set)
        for sentence in sentences:
            padded = (BOS, *sentence, EOS)
            for end in range(2, len(padded) + 1):
                for start in range(max(0, end - order), end):
                    gram = padded[start:end]
                    self.raw[gram] += 1
                    if start:
                        before[gram].add(padded[start - 1])
        self.c = {
            gram: times if len(gram) == order or gram[0] == BOS else len(before[gram])
            for gram, times in self.raw.items()
        }
        self.after = defaultdict(list)
        for gram in self.c:
            self.after[gram[:-1]].append(gram)
        self.d = [self.discounts(k) for k in range(1, order + 1)]

    def discounts(self, k):
        t = [sum(1 for gram, c in self.c.items() if len(gram) == k and c == i) for i in (1, 2, 3, 4)]
        fallback = [0, 0.5, 1, 1.5]
        if 0 in t[:3]:
            return fallback
        y = t[0] / (t[0] + 2 * t[1])
        d = [0, 1 - 2 * y * t[1] / t[0], 2 - 3 * y * t[2] / t[1], 3 - 4 * y * t[3] / t[2]]
        return d if all(0 < d[i] <= i for i in (1, 2, 3)) else fallback

    def p(self, word, context):
        """context: any tokens; those beyond the order are not read."""
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        k, lower = len(context) + 1, self.p(word, context[1:]) if context else 1 / len(PREDICTED)
        followers = self.after.get(context, ())
        if not followers:
            return lower
        kept = {gram for gram in followers if self.raw[gram] > self.prune[k - 1]}
        discount = {gram: self.d[k - 1][min(3, self.c[gram])] for gram in followers}
        total = sum(self.c[gram] for gram in followers)
        freed = sum(discount[gram] if gram in kept else self.c[gram] for gram in followers)
        gram = (*context, word)
        return ((self.c[gram] - discount[gram]) * (gram in kept) if gram in discount else 0) / total + (
            freed / total * lower
        )

    def log_prob(self, sentence):
        words = (BOS, *sentence, EOS)
        return sum(math.log(self.p(words[i], words[:i])) for i in range(1, len(words)))
