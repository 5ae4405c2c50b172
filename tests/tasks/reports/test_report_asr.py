"""The page of a recognizer: what it shows of an LAS, of a transducer and of a CTC model, each in its own way."""

import re
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hostile_html import EVIL, embedded, shown
from training_corpus import LETTERS, SIZE, made, training

from infra.artifact_store import new_draft
from models import listen_attend_spell, rnn_transducer
from models.interface import Beam
from models.layers.rnn_stack import Recurrent
from tasks.bundles.model_bundle import AudioConfig, BundleContents, load_bundle, write_bundle
from tasks.decoding.decode_speech import TRANSCRIPTS, DecodingConfig, decode_speech
from tasks.features.front_end import CMVN, FrontEnd
from tasks.ingest.shard_format import INDEX
from tasks.reports.plots.plot_reliability import plot_reliability
from tasks.reports.plots.plot_utterance import LatticePanel, UtterancePanels, plot_utterance
from tasks.reports.report_asr import PARTS, ASRPage, ReportInputs, report_asr
from tasks.reports.report_utterances import build_panels
from tasks.scoring.evaluate_asr import ScoringConfig, evaluate_asr
from tasks.steps.in_process import run_in_process
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.parquet_parts import read_parts

SPELLER = listen_attend_spell.Config(
    reductions=(2,), listener_size=12, embedding_size=8, speller_size=12, speller_layers=1, attention_size=8
)
TRANSDUCER = rnn_transducer.Config(
    stride=2,
    encoder=Recurrent(layers=1, hidden_size=8),
    prediction=Recurrent(layers=1, hidden_size=8),
    linear_size=0,
    joint_size=8,
)
CTC = training(1).model
WIDE = Beam(width=3, max_length=12)
OFFERS = {
    "las": (SPELLER, {"attention"}),
    "joint": (replace(SPELLER, ctc_weight=0.3), {"posteriors", "attention"}),
    "transducer": (TRANSDUCER, {"lattice"}),
    "ctc": (CTC, {"posteriors"}),
}


@pytest.fixture
def corpus(artifact_root, tmp_path):
    """Shards (an index alone, of clips that browsers do not play), features and tokenizer."""
    features, tokenizer = made(tmp_path, 4)
    index = pq.read_table(features.file("index.parquet")).to_pylist()
    none = dict.fromkeys(INDEX.names)
    with new_draft("shards") as out:
        rows = [none | {"key": row["key"], "split": row["split"], "extension": "mfc"} for row in index]
        out.put("index.parquet", to_parquet(to_table(rows, INDEX)))
        out.put_json("summary.json", {"utterances": len(rows)})
    return out.result(), features, tokenizer


def bundle_of(config, tokenizer):
    torch.manual_seed(0)
    sizes = (SIZE, len(LETTERS) + 4)
    return write_bundle(
        BundleContents(
            config=config,
            sizes=sizes,
            weights=config.build(*sizes).state_dict(),
            tokenizer=tokenizer,
            sound=AudioConfig(FrontEnd(kind="given"), CMVN("none")),
            beam=WIDE,
            training={"history": [{"epoch": 1, "loss": 2.0, "dev_loss": 2.0, "dev_wer": 1.0, "dev_cer": 1.0}]},
            golden={"one": np.random.default_rng(0).standard_normal((20, SIZE)).astype(np.float16)},
        )
    )


def decoded(bundle, features, beam=WIDE):
    architecture = bundle.read_json("model.json")["architecture"]
    with run_in_process():
        return decode_speech.fn(bundle, features, DecodingConfig(beam=beam, architecture=architecture, split="dev",
                                                    batching=training(1).batching))  # fmt: skip


def size_of(svg):
    """Width and height in points."""
    return [float(number) for number in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()]


@pytest.mark.parametrize("kind", OFFERS)
def test_the_page_shows_what_the_model_offers(corpus, kind):
    shards, features, tokenizer = corpus
    config, offered = OFFERS[kind]
    bundle = bundle_of(config, tokenizer)
    transcripts = decoded(bundle, features, replace(WIDE, width=1) if kind == "ctc" else WIDE)  # nothing to compile
    scores = evaluate_asr.fn(transcripts, ScoringConfig(resamples=10))
    title = ASRPage(title="a page", architecture=bundle.read_json("model.json")["architecture"], splits=("dev",))
    page = report_asr.fn(ReportInputs(bundle, shards, features, (transcripts,), (scores,)), title)
    html, told = page.read("report.html").decode(), scores.read_json("scores.json")
    meanings = {"posteriors": "posteriors", "attention": "attention, a row", "lattice": "the lattice of frames"}
    for name, meaning in meanings.items():
        assert html.count(meaning) == (8 if name in offered else 0), "one for each utterance of the split"
    cells = [f"{told['oracle_wer']:.2%}", *(told["words"][name] for name in PARTS), told["utterances"]]
    assert "".join(f'<td class="number">{cell}</td>' for cell in cells) in html
    assert told["oracle_wer"] <= told["wer"]
    assert f"expected calibration error <b>{told['calibration_error']:.3f}" in html
    assert sum(row["utterances"] for row in told["reliability"]) <= told["utterances"] == 8
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 11, "two learning curves, a reliability diagram, eight utterances"
    for svg in pictures:
        width, height = size_of(svg)
        assert 200 < width < 1100
        assert 100 < height < 1300
    names = re.findall(r' id="([^"]*)"', html)
    assert len(names) == len(set(names)), "no two of a page have the same name"
    ((table,),) = [[data["rows"] for data in embedded(html)]]
    assert sorted(table["key"]) == [row["key"] for row in read_parts(transcripts)]
    found = "".join(table["edits"])
    for name, operation in (("substitutions", "S"), ("deletions", "D"), ("insertions", "I")):
        assert sum(map(int, re.findall(rf"(\d+){operation}", found))) == told["words"][name]
    assert table["sound"] == [0] * 8, "cepstra have none"


def test_what_was_said_and_heard_is_text(corpus):
    shards, features, tokenizer = corpus
    bundle = bundle_of(TRANSDUCER, tokenizer)
    rows = read_parts(decoded(bundle, features))
    said = [{"reference": f"{EVIL}{i}", "text": EVIL, "speaker": f"<b onclick=x>{i % 2}"} for i in range(len(rows))]
    for row in rows:
        for token in row["hypotheses"][0]["tokens"]:
            token["text"] = "</svg>$\\frac$"
    with new_draft("transcripts") as out:
        out.put("dev.parquet", to_parquet(to_table([r | s for r, s in zip(rows, said, strict=True)], TRANSCRIPTS)))
    scores = evaluate_asr.fn(out.result(), ScoringConfig(resamples=10))
    page = report_asr.fn(
        ReportInputs(bundle, shards, features, (out.result(),), (scores,)),
        ASRPage(title=EVIL, architecture="rnn_transducer", splits=("dev",)),
    )
    html = page.read("report.html").decode()
    text = shown(html)
    assert all(text.count(f"{EVIL}{i}") == 1 for i in range(len(rows))), "among those shown"
    assert text.count(EVIL) == 2 + 2 * len(rows)
    assert "<b onclick=x>0" in text
    (table,) = (data["rows"] for data in embedded(html))
    assert sorted(table["reference"]) == sorted(" ".join(f"{EVIL}{i}".split()) for i in range(len(rows)))


@pytest.mark.parametrize("kind", OFFERS)
def test_what_is_looked_at_is_along_the_best_hypothesis(corpus, kind):
    _, features, tokenizer = corpus
    config, offered = OFFERS[kind]
    artifact = bundle_of(config, tokenizer)
    bundle = load_bundle(artifact)
    stored = np.random.default_rng(1).standard_normal((31, SIZE)).astype(np.float16)
    for row in read_parts(decoded(artifact, features, replace(WIDE, width=1))):
        tokens = row["hypotheses"][0]["tokens"]
        assert bundle.tokenizer.decode([token["id"] for token in tokens]) == row["text"]
        look = build_panels(bundle, stored, row)
        assert {name for name in ("posteriors", "attention", "lattice") if getattr(look, name) is not None} == offered
        steps = -(-len(stored) // bundle.model.reduction)
        if look.attention is not None:
            assert look.attention.shape == (len(tokens) + 1, steps)
            np.testing.assert_allclose(look.attention.sum(1), 1, atol=1e-5)
        if look.lattice is not None:
            assert look.lattice.occupancy.shape == (steps, len(tokens) + 1)
            diagonals = [np.trace(look.lattice.occupancy[::-1], k) for k in range(-steps + 1, len(tokens) + 1)]
            np.testing.assert_allclose(diagonals, 1, atol=1e-5)
            moves = np.diff(np.array(look.lattice.path), axis=0)
            assert (moves >= 0).all()
            assert (moves.sum(1) == 1).all()


def test_a_search_without_confidence_has_no_diagram(corpus):
    shards, features, tokenizer = corpus
    bundle = bundle_of(TRANSDUCER, tokenizer)
    transcripts = decoded(bundle, features)
    rows = [row | {"confidence": float("nan")} for row in read_parts(transcripts)]
    with new_draft("transcripts") as out:
        out.put("dev.parquet", to_parquet(to_table(rows, TRANSCRIPTS)))
    scores = evaluate_asr.fn(out.result(), ScoringConfig(resamples=10))
    assert scores.read_json("scores.json")["calibration_error"] is None
    page = report_asr.fn(
        ReportInputs(bundle, shards, features, (out.result(),), (scores,)),
        ASRPage(title="a page", architecture="rnn_transducer", splits=("dev",)),
    )
    html = page.read("report.html").decode()
    assert "calibration error" not in html
    assert "nan" not in [word.strip(",") for word in shown(html).split()]


@pytest.mark.parametrize("tokens", [0, 1, 150])
def test_pictures_of_any_length_are_of_a_sane_size(tokens):
    said = [{"text": "a b"[i % 3], "begin_seconds": i * 0.1, "end_seconds": i * 0.1 + 0.1} for i in range(tokens)]
    steps = max(4, 2 * tokens)
    path = [cell for t in range(tokens) for cell in ((t, t), (t, t + 1))]  # a token a step, then none
    path += [(t, tokens) for t in range(tokens, steps)]
    occupancy = np.full((steps, tokens + 1), 1e-12)
    look = UtterancePanels(np.zeros((4 * steps, 8)), 0.04 * steps, 0.04, said, np.full((steps, 5), 0.2),
                np.full((tokens + 1, steps), 1 / steps), LatticePanel(occupancy, path))  # fmt: skip
    width, height = size_of(plot_utterance(look))
    assert 200 < width < 1100
    assert 200 < height < 1300
    bins = [{"from": 0.3, "to": 0.4, "utterances": 1, "confidence": 0.31, "right": 1.0}]
    assert min(size_of(plot_reliability(bins))) > 200
