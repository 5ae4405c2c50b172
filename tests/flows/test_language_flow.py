"""Plain text becomes a registered language model that writes; a second run does nothing."""

import pytest
from test_flows import states_of

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
SMALL = ("fit.epochs=2", "model.recurrent.hidden_size=16", "chunks.length=20", "prompt.context=le ", "prompt.length=20")


def test_the_whole_way(prefect_server, tmp_path, monkeypatch, capsys):
    from flows.evaluate import evaluate_model
    from flows.generate import generate
    from flows.train_language_model import train_language_model
    from infra import storage
    from infra.errors import UserError
    from tasks.decoding.generate_text import Prompt

    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "language")
    (tmp_path / "text.txt").write_text("le renard et le corbeau se parlent;\n" * 300)
    call = {"corpus": f"text:{tmp_path}/text.txt", "recipe": "char_rnn_fables", "settings": SMALL, "workers": 0}
    result, first = states_of(train_language_model, **call)
    assert set(first.values()) == {"Completed"}
    assert set(result["metrics"]["dev"]) == {
        "loss",
        "accuracy",
        "bits_per_character",
        "bits_per_token",
        "perplexity",
        "tokens",
        "characters",
    }
    assert storage.read(result["report"]).startswith(b"<!doctype html>")
    again, second = states_of(train_language_model, **call)
    assert again == result
    assert set(second.values()) == {"Cached"}

    measured = evaluate_model(model="language-model@champion", corpus=call["corpus"], split="dev")
    assert measured["metrics"]["dev"] == result["metrics"]["dev"]
    other = "le corbeau et le renard se parlent;\n" * 20
    (tmp_path / "other.txt").write_text(other)
    measured = evaluate_model(model="language-model@champion", corpus=f"text:{tmp_path}/other.txt", split="test")
    assert measured["metrics"]["test"]["tokens"] == (len(other) - 1) // 20 * 20, "all of it"
    (tmp_path / "other.txt").write_text("\u03a9")
    with pytest.raises(UserError, match="not in the vocabulary"):
        evaluate_model(model="language-model@champion", corpus=f"text:{tmp_path}/other.txt", split="test")

    capsys.readouterr()
    generate("language-model@champion", Prompt(context="le ", length=25, seed=3))
    out = capsys.readouterr().out
    assert out.startswith("le ")
    assert len(out) == len("le ") + 25 + 1
    with pytest.raises(UserError, match="not in the vocabulary"):
        generate("language-model@champion", Prompt(context="Ω"))
