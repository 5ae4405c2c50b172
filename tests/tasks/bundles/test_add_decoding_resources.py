"""What a search is given beside the weights: it travels in the bundle, changes what is heard, is refused by name."""

import gzip
import json

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from infra.artifact_store import artifact_at, new_draft
from infra.errors import UserError
from models import char_rnn, deep_speech_2
from models.interface import Beam, Padded
from models.layers.rnn_stack import Recurrent
from models.special_tokens import BOS, UNK
from tasks.bundles.add_decoding_resources import (
    DecodingResources,
    add_decoding_resources,
    load_language_model,
    read_words,
    transcripts_as_text,
)
from tasks.bundles.bundle_files import LM, WORDS
from tasks.bundles.bundle_networks import NGRAM
from tasks.bundles.model_bundle import AudioConfig, BundleContents, load_bundle, write_bundle
from tasks.features.front_end import CMVN, FrontEnd
from tasks.ingest.shard_format import INDEX
from tasks.ngram.text_lines import LineSplitConfig, read_lines
from tasks.ngram.train_ngram import NGramConfig, NGramTrainingConfig, train_ngram
from tasks.steps.in_process import run_in_process
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts, fit_tokenizer, load_tokenizer

TEXTS = ["the cat sat", "a cat sat down", "the  mat", "é cat"] * 5


@pytest.fixture
def shards(artifact_root):
    rows = [{"key": f"{i}", "split": "train" if i % 5 else "dev", "text": t} for i, t in enumerate(TEXTS)]
    rest = {name: None for name in INDEX.names}
    with new_draft("shards") as out:
        out.put("index.parquet", to_parquet(to_table([rest | row for row in rows], INDEX)))
    return out.result()


@pytest.fixture
def tokenizer(shards):
    return fit_tokenizer.fn(shards, TokenizerConfig())


@pytest.fixture
def bundle(tokenizer):
    torch.manual_seed(0)
    config = deep_speech_2.Config(channels=(), time_kernels=(), time_strides=(), frequency_kernels=(),
                                  frequency_strides=(), cell="gru", share_input=False, norm="input", hidden_size=8,
                                  layers=1)  # fmt: skip
    size = len(json.loads(tokenizer.read("tokenizer.json"))["symbols"]) + 4
    golden = {"one": np.random.default_rng(0).standard_normal((40, 6)).astype(np.float16)}
    sound = AudioConfig(FrontEnd(kind="given"), CMVN("none"))
    weights = config.build(6, size).state_dict()
    told = {"sizes": (6, size), "weights": weights, "tokenizer": tokenizer, "sound": sound, "beam": Beam()}
    return write_bundle(BundleContents(config=config, training={"history": []}, golden=golden, **told))


def model_of(shards, tokens):
    text = transcripts_as_text.fn(shards)
    training = NGramTrainingConfig(ngram=NGramConfig(order=2, arpa=True), split=LineSplitConfig(dev_share=0))
    with run_in_process():
        return train_ngram.fn(text, fit_tokenizer.fn(shards, tokens), training)


def test_the_transcripts_are_a_text_of_the_training_split_alone(shards):
    text = transcripts_as_text.fn(shards)
    (shard,) = text.names(".tar")
    expected = [" ".join(t.split()) for i, t in enumerate(TEXTS) if i % 5]
    assert list(read_lines(text, shard)) == expected
    assert text.read_json("summary.json")["characters"] == sum(len(t) + 1 for t in expected)


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_a_bundle_searches_with_what_it_was_given(shards, bundle, kind):
    lm = model_of(shards, TokenizerConfig(kind=kind))
    beam = Beam(width=8, lm_weight=3.0)
    given = add_decoding_resources.fn(bundle, lm, DecodingResources(beam=beam))
    assert set(given.names()) == {*bundle.names(), NGRAM}
    assert given.read("weights.pt") == bundle.read("weights.pt")
    before, after = load_bundle(bundle), load_bundle(given)
    assert (before.beam, after.beam) == (Beam(), beam)
    assert before.lm is None
    source = after.source(np.random.default_rng(1).standard_normal((50, 6)).astype(np.float16))
    plain, fused = (b.model.search(source, b.beam, b.lm)[0][0] for b in (before, after))
    assert plain.tokens != fused.tokens, "an untrained model says what the language model says"
    stronger = add_decoding_resources.fn(given, None, DecodingResources(beam=Beam(width=4, lm_weight=1.0), hotwords=()))
    assert NGRAM in stronger.names(), "what is not given anew stays"
    assert load_bundle(stronger).beam.width == 4


AS_IT_STANDS = NormalizationConfig(unicode="as written", case="keep", punctuation="keep", spaces="keep")


def neural_model_of(text, tokens):
    """An untrained bundle of a language model whose alphabet is that of a text."""
    torch.manual_seed(1)
    tokenizer = fit_on_texts([text], tokens, "a text")
    size = len(load_tokenizer(tokenizer))
    config = char_rnn.Config(embedding_size=8, recurrent=Recurrent(hidden_size=8), readout=())
    weights = {name: 3 * value for name, value in config.build(size, size).state_dict().items()}
    told = {"sizes": (size, size), "weights": weights, "tokenizer": tokenizer, "sound": None, "beam": Beam()}
    return write_bundle(BundleContents(config=config, training={"history": []}, golden={}, **told))


def test_a_neural_language_model_is_asked_in_the_tokens_of_the_bundle(shards, bundle):
    lm = neural_model_of("The CAT sat; é\n" + "".join(TEXTS), TokenizerConfig(specials=False, text=AS_IT_STANDS))
    beam = Beam(width=6, lm_weight=1.5)
    given = add_decoding_resources.fn(bundle, lm, DecodingResources(beam=beam))
    brought = {name.removeprefix(LM) for name in set(given.names()) - set(bundle.names())}
    assert brought == {"model.json", "weights.pt", "tokenizer.json"}
    loaded, alone_ = load_bundle(given), load_bundle(lm)
    source = loaded.source(np.random.default_rng(1).standard_normal((9, 6)).astype(np.float16))
    with torch.no_grad():
        emissions = loaded.model.emit(source)
    emissions.data[..., BOS : UNK + 1] = -30  # as a trained model has them
    for found in loaded.model.search_emissions(emissions, beam, loaded.lm)[0]:
        ids = torch.tensor(alone_.tokenizer.encode(f"\n{loaded.tokenizer.decode(found.tokens)}\n"))
        log_probs, _ = alone_.model.predict(Padded.stack([ids[:-1]]), None)
        fused = float(log_probs.data[0].gather(1, ids[1:, None]).detach().sum())
        size, steps = torch.tensor(len(found.tokens)), emissions.lengths[0]
        heard = -float(ctc_loss(emissions.data[0], torch.tensor(found.tokens), steps, size, reduction="sum"))
        assert heard - 0.5 < found.score - 1.5 * fused < heard + 1e-3, "almost all of its alignments were kept"
    assert loaded.model.search_emissions(emissions, beam, loaded.lm) != loaded.model.search_emissions(emissions, Beam())
    again = add_decoding_resources.fn(given, None, DecodingResources(beam=Beam(width=4, lm_weight=1.0)))
    assert set(again.names()) == set(given.names())
    ngram = add_decoding_resources.fn(
        given, model_of(shards, TokenizerConfig(kind="words")), DecodingResources(beam=beam)
    )
    assert {name for name in ngram.names() if name.startswith(LM)} == {NGRAM}, "one language model replaces the other"


def test_lexicon_and_hotwords(shards, bundle):
    beam = Beam(width=30, lexicon_only=True, hotword_weight=50.0)
    given = add_decoding_resources.fn(
        bundle, None, DecodingResources(beam=beam, lexicon=("cat", "sat"), hotwords=("SAT",))
    )
    assert given.read_json(WORDS) == {"lexicon": ["cat", "sat"], "hotwords": ["SAT"]}
    loaded = load_bundle(given)
    source = loaded.source(np.random.default_rng(1).standard_normal((50, 6)).astype(np.float16))
    heard = loaded.tokenizer.decode(loaded.model.search(source, beam, loaded.lm)[0][0].tokens)
    assert heard.split()
    assert set(heard.split()) == {"sat"}


def test_arpa_files_and_models_by_path(shards, tmp_path):
    lm = model_of(shards, TokenizerConfig(kind="words"))
    (tmp_path / "lm.arpa.gz").write_bytes(lm.read("ngram.arpa.gz"))
    with run_in_process():
        read = load_language_model(str(tmp_path / "lm.arpa.gz"))
    assert read.read("ngram.bin") == lm.read("ngram.bin")
    assert load_language_model(lm.uri) == lm
    assert load_language_model("") is None


def test_what_does_not_fit_is_one_line(shards, bundle, tmp_path):
    lm = model_of(shards, TokenizerConfig(kind="words"))
    cases = [
        (lm, DecodingResources(beam=Beam()), "beam.lm_weight is 0"),
        (None, DecodingResources(beam=Beam(lm_weight=0.5)), "there is no language model"),
        (None, DecodingResources(beam=Beam(), hotwords=("cat",)), "beam.hotword_weight is 0"),
        (None, DecodingResources(beam=Beam(), lexicon=("cat",)), "no term uses it"),
        (None, DecodingResources(beam=Beam(lexicon_only=True), lexicon=("dog",)), "cannot spell 'dog'"),
        (None, DecodingResources(beam=Beam(coverage=1.0)), "has no coverage"),
    ]
    for model, equipment, says in cases:
        with pytest.raises(UserError, match=says) as caught:
            add_decoding_resources.fn(bundle, model, equipment)
        assert "\n" not in str(caught.value)
    for text, tokens, says in (
        (
            "the cat sat down m\n",
            TokenizerConfig(specials=False, text=AS_IT_STANDS),
            "no token 'é', which the bundle writes",
        ),
        ("".join(TEXTS), TokenizerConfig(specials=False, text=AS_IT_STANDS), "never read the end of a line"),
        ("".join(TEXTS), TokenizerConfig(kind="words"), "no token .* more, which the bundle writes"),
    ):
        with pytest.raises(UserError, match=says):
            add_decoding_resources.fn(
                bundle, neural_model_of(text, tokens), DecodingResources(beam=Beam(lm_weight=0.5))
            )
    with pytest.raises(UserError, match="not a language model"):
        load_language_model(bundle.uri)
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for name, says in (("empty.txt", "no word in it"), ("latin.txt", "UTF-8"), ("none.txt", "cannot be read")):
        with pytest.raises(UserError, match=says):
            read_words(str(tmp_path / name))
    assert artifact_at(bundle.uri) == bundle


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "byte order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_of_words_is_read_however_it_is_kept(tmp_path, pack, mark, end):
    (tmp_path / "words").write_bytes(pack(end.join([f"{mark}cat\tk ae t", "cat", "", "mat"]).encode()))
    assert read_words(str(tmp_path / "words")) == ("cat", "mat")


def test_a_model_in_other_letters_is_the_same_model(shards, bundle, tmp_path):
    """Word for word: the bundle holds its words as it writes them, and what does not fit is said."""
    rows = "\n".join(f"-{0.5 + i / 10:.1f}\t{w}" for i, w in enumerate(["<unk>", "</s>", "cat", "sat", "the", "down"]))
    lower = f"\\data\\\nngram 1=7\n\n\\1-grams:\n-99\t<s>\n{rows}\n\n\\end\\\n"
    mixed = lower.replace("cat", "Cat").replace("the", "THE").replace("sat", "\u201csat,\u201d")
    given = []
    for name, text in (("lower.arpa", lower), ("mixed.arpa", mixed)):
        (tmp_path / name).write_text(text)
        with run_in_process():
            lm = load_language_model(str(tmp_path / name))
        given.append(add_decoding_resources.fn(bundle, lm, DecodingResources(beam=Beam(lm_weight=1.0))))
    assert given[0].read(NGRAM) == given[1].read(NGRAM)
    assert load_bundle(given[0]).lm.lexicon == ("cat", "sat", "the", "down")
