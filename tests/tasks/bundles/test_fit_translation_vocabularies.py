"""Both sides' vocabularies, apart or joint, of the training split alone."""

import pytest

from tasks.bundles.fit_translation_vocabularies import AS_PRINTED, TranslationTokensConfig, fit_translation_vocabularies
from tasks.corpora.corpus_uri import Corpus, IngestConfig, fingerprint
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.steps.in_process import run_in_process
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig, load_source_tokenizer, load_tokenizer

TRAIN = [(f"Der Hund {n} läuft", f"the dog {n} runs") for n in ("eins", "zwei", "drei", "vier")]
DEV = [("Ein Esel", "one donkey")]


@pytest.fixture
def shards(tmp_path, artifact_root):
    for name, pairs in (("train", TRAIN), ("dev", DEV)):
        for side, language in enumerate(("de", "en")):
            (tmp_path / f"{name}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
    corpus = Corpus(kind="parallel", uri=str(tmp_path), verb="pairs")
    options = IngestConfig(source_language="de", target_language="en", identify_language=False)
    with run_in_process():
        return ingest_corpus(corpus, fingerprint(corpus), options, ("train", "dev"))


def fitted(shards, **given):
    with run_in_process():
        found = fit_translation_vocabularies(shards, TranslationTokensConfig(**given))
    return load_source_tokenizer(found), load_tokenizer(found)


def words(**given):
    return TokenizerConfig(kind="words", text=NormalizationConfig(**given))


def test_apart(shards):
    source, target = fitted(shards, source=words(case="keep"), target=words())
    assert source.symbols == tuple(sorted({word for german, _ in TRAIN for word in german.split()}))
    assert target.symbols == tuple(sorted({word for _, english in TRAIN for word in english.split()}))
    assert source.decode(source.encode("Der Hund drei")) == "Der Hund drei"


@pytest.mark.parametrize("kind", ["characters", "words", "bpe", "unigram"])
def test_joint(shards, kind):
    """The same ids on both sides, which all that is known is spelled with; each side has its own normalization."""
    how = {"kind": kind, "vocabulary_size": {"bpe": 40, "unigram": 27}.get(kind, 100)}
    source, target = fitted(
        shards,
        source=TokenizerConfig(**how, text=NormalizationConfig(case="lower")),
        target=TokenizerConfig(**how, text=AS_PRINTED),
        joint=True,
    )
    assert len(source) == len(target)
    assert source.encode("the dog eins läuft") == target.encode("the dog eins läuft")
    assert source.encode("THE DOG") == target.encode("the dog")
    for german, english in TRAIN:
        assert source.decode(source.encode(german)) == german.lower()
        assert target.decode(target.encode(english)) == english


@pytest.mark.parametrize(("given", "says"), [
    ({"joint": True, "source": TokenizerConfig(kind="words")}, "tokens.joint"),
    ({"source": TokenizerConfig(specials=False)}, "specials"),
])  # fmt: skip
def test_what_cannot_be(given, says):
    with pytest.raises(ValueError, match=says):
        TranslationTokensConfig(**given)
