"""Models that write together: a bundle like another, the first one's search, and what does not go together."""

import json
from pathlib import Path

import pytest
import torch
from digit_translator import ENGLISH, FIRST, GERMAN, digit_translator, numbers, reversed_number, vocabularies
from untrained import CTC, bundle_of

from infra.artifact_store import new_draft
from infra.errors import UserError
from models import bahdanau
from models.interface import Beam, Padded
from models.special_tokens import BOS
from tasks.bundles.bundle_files import read_architecture
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import BundleContents, check_golden_outputs, load_bundle, write_bundle
from tasks.decoding.translate import Translator
from tasks.reports.sections.run_section import model_facts
from tasks.training.leaderboard import count_parameters

torch.set_num_threads(1)


def untrained(seed=0, beam=None, *, languages=("en", "de"), tokens=None):
    """A translator of another architecture that knows nothing."""
    torch.manual_seed(seed)
    config = bahdanau.Config(embedding_size=8, hidden_size=8, attention_size=8, maxout_size=8)
    sizes = (FIRST + len(ENGLISH), FIRST + len(GERMAN))
    return write_bundle(
        BundleContents(
            config=config,
            sizes=sizes,
            weights=config.build(*sizes).state_dict(),
            tokenizer=tokens or vocabularies(),
            sound=None,
            beam=beam or Beam(width=2),
            training={
                "history": [],
                "languages": dict(zip(("source", "target"), languages, strict=True)),
                "fit": {"seed": seed},
            },
            golden={},
        )
    )


def ensemble(*bundles):
    return find_model(",".join(bundle.uri for bundle in bundles))


def test_an_ensemble_of_a_model_with_itself_is_that_model(artifact_root):
    alone = digit_translator()
    both = ensemble(alone, alone)
    assert (both.kind, both != alone, find_model(alone.uri)) == ("bundle", True, alone)
    check_golden_outputs(both)
    texts = numbers(20)
    one, two = (Translator(load_bundle(bundle)).translate(texts) for bundle in (alone, both))
    assert [found.text for found in two] == [found.text for found in one] == [reversed_number(text) for text in texts]
    assert [found.score for found in two] == pytest.approx([found.score for found in one], abs=1e-4)
    assert both == ensemble(alone, alone)  # the same bytes, and so the same results in the store


def test_a_report_has_of_an_ensemble_no_epoch_and_no_seed(artifact_root):
    """Which are each member's own."""
    one, other = untrained(), untrained(seed=1)
    assert dict(model_facts(one))["random seed"] == "0"
    parameters = f"{2 * count_parameters(one):,}"
    assert model_facts(ensemble(one, other)) == (("architecture", "ensemble+bahdanau"), ("parameters", parameters))


def test_a_member_that_is_there_twice_counts_twice(artifact_root):
    taught, other = digit_translator(), untrained()
    found = ensemble(taught, other, taught)
    assert found.read_json("training.json")["members"] == [taught.digest, other.digest, taught.digest]
    source, read = (Padded.stack([torch.tensor(ids)]) for ids in ([FIRST, FIRST + 1], [BOS, FIRST + 2]))
    models = [load_bundle(bundle).model for bundle in (taught, other, found)]
    with torch.no_grad():
        one, two, three = (model.predict(model.encode(source), read).softmax(-1) for model in models)
    torch.testing.assert_close(three, (2 * one + two) / 3)


def test_members_of_other_architectures_keep_the_first_one_s_search(artifact_root):
    taught, other = digit_translator(beam=Beam(width=5, length_norm=0.5)), untrained()
    both = load_bundle(found := ensemble(taught, other))
    assert both.beam == Beam(width=5, length_norm=0.5)
    assert read_architecture(found) == "ensemble+bahdanau+transformer"
    assert read_architecture(taught) == "transformer"
    weights = both.model.state_dict()
    assert sum(w.numel() for w in weights.values()) == sum(
        w.numel() for one in (taught, other) for w in load_bundle(one).model.state_dict().values()
    )
    told = found.read_json("training.json")
    assert told["members"] == [taught.digest, other.digest]
    assert taught.read_json("training.json")["history"]
    assert (told["history"], told["best"]) == ([], {}), "no curve of a member's is told as that of all"
    p = [Translator(load_bundle(one)).score(["one two"], ["zwei eins"])[0] for one in (taught, other, found)]
    assert min(p[:2]) < p[2] < max(p[:2])


def test_what_cannot_write_together_is_one_line(artifact_root):
    taught = digit_translator()
    with new_draft("vocabularies") as out:
        for name in vocabularies().names():
            symbols = vocabularies().read_json(name)["symbols"]
            out.put_json(name, vocabularies().read_json(name) | {"symbols": symbols[::-1]})
    for others, says in [
        ([untrained(languages=("en", "nl"))], "are of other languages"),
        ([untrained(tokens=out.result())], "have not the same source/tokenizer.json"),
        ([bundle_of(CTC)], "have not the same features.json"),
    ]:
        with pytest.raises(UserError, match=says) as caught:
            ensemble(taught, *others)
        assert "\n" not in str(caught.value)
    recognizer = bundle_of(CTC)
    with pytest.raises(UserError, match="deep_speech_2 cannot write a text together"):
        ensemble(recognizer, recognizer)
    both = ensemble(taught, taught)
    with pytest.raises(UserError, match="is no ensemble"):
        ensemble(both, taught)
    with new_draft("ngram") as out:
        out.put("ngram.bin", b"")
    for order in ([taught, out.result()], [out.result(), taught], 2 * [out.result()]):
        with pytest.raises(UserError, match="together with others is a neural one"):
            find_model(",".join(one.uri for one in order), ("bundle", "ngram"))


def test_a_comma_without_a_model_is_told(artifact_root):
    place = untrained().uri
    for text in (f"{place},", f",{place}", f"{place}, ,{place}"):
        with pytest.raises(UserError, match="a comma without a model"):
            find_model(text)


def test_a_folder_with_a_comma_in_its_name_is_one_model(artifact_root, tmp_path):
    place = tmp_path / "one,two"
    Path(untrained().uri).rename(place)
    assert find_model(str(place)).kind == "bundle"
    with pytest.raises(UserError, match="write NAME@ALIAS"):
        find_model("one,two")


def test_options_that_are_no_members_are_told(artifact_root, tmp_path):
    """Of a bundle from anywhere."""
    both = ensemble(digit_translator(), untrained())
    for members in (3, [3], [{"options": {}}], ["transformer"], {"architecture": "transformer"}):
        with new_draft("bundle") as out:
            for name in both.names():
                out.put(name, both.read(name))
            spec = json.loads(both.read("model.json"))
            spec["options"]["members"] = members
            out.put_json("model.json", spec)
        for read in (load_bundle, read_architecture):
            with pytest.raises(UserError, match=out.result().digest[:16]) as caught:
                read(out.result())
            assert "\n" not in str(caught.value)
