"""What the tests of language model training share."""

import pytest

from tasks.batches.tokenize_text import fit_text_tokenizer, tokenize_text
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig

TEXT = "le renard et le corbeau se parlent, la fourmi et la cigale aussi; " * 40


@pytest.fixture
def stream(tmp_path, in_this_process):
    """The tokens of a small text, and their tokenizer."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    corpus = parse_corpus(f"text:{path}", "documents")
    text = ingest_text.fn(corpus, fingerprint(corpus), TextIngestConfig())
    tokenizer = fit_text_tokenizer.fn(text, TokenizerConfig(specials=False, text=AS_WRITTEN))
    return tokenize_text.fn(text, tokenizer), tokenizer
