"""Without --recipe: the same corpus on the same machine takes the same recipe, and says why."""

import pytest
import torch

from flows.recipes import asr_own_data
from flows.recipes.asr_own_data import SIZES
from flows.shared.recipe_choice import Machine, check_auto, fitting, this_machine
from infra.errors import UserError
from tasks.decoding.streaming_recognizer import StreamingTransducer

LAPTOP, SERVER, GPU = Machine(0, 2, 8), Machine(0, 16, 64), Machine(1, 4, 64)


@pytest.mark.parametrize(
    ("hours", "machine", "recipe"),
    [
        (0, LAPTOP, "asr_small"),
        (1.6, LAPTOP, "asr_small"),
        (1.6, GPU, "asr_small"),
        (9.9, GPU, "asr_small"),
        (10, GPU, "asr_medium"),
        (50, LAPTOP, "asr_small"),
        (50, SERVER, "asr_medium"),
        (1000, SERVER, "asr_medium"),
        (1000, GPU, "asr_large"),
        (1000, Machine(8, 64, 4), "asr_small"),
    ],
)
def test_hours_and_machine_decide(hours, machine, recipe):
    found = fitting(hours, machine)
    assert found == fitting(hours, machine)
    assert found.recipe == recipe
    assert found.reason.startswith(f"{hours:.1f} h of training audio")
    assert "\n" not in found.reason


def test_what_the_machine_does_not_carry_is_said():
    assert "too little for asr_large" in fitting(1000, LAPTOP).reason
    assert "too little" not in fitting(1.6, LAPTOP).reason


def test_all_that_it_may_be_read_a_corpus_alike():
    """It is ingested to count its hours, and not a second time."""
    assert len({getattr(asr_own_data, size.recipe)().ingest for size in SIZES}) == 1
    assert [size.hours for size in SIZES] == sorted((size.hours for size in SIZES), reverse=True)
    assert SIZES[-1].hours == SIZES[-1].gpus == 0


def test_settings_are_checked_before_the_choice(tmp_path):
    check_auto(f"fsdd:{tmp_path}", ("fit.epochs=2",))
    check_auto(f"fsdd:{tmp_path}", ("features.sample_rate=8000",))  # with which the larger ones have too many bands
    check_auto("demo:", ("fit.epochs=2",))
    for corpus in ("demo:", f"fsdd:{tmp_path}"):
        with pytest.raises(UserError, match=r"did you mean fit\.epochs\?.*name another recipe"):
            check_auto(corpus, ("fit.epoch=2",))
    with pytest.raises(UserError, match="does not exist"):
        check_auto("fsdd:/nowhere", ())


def test_this_machine_is_as_it_is(monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_CORES", "4")
    assert this_machine(3) == this_machine(3)
    assert (this_machine(3).cores, this_machine(9).cores, this_machine(0).cores) == (3, 4, 1)
    assert this_machine(0).gpus == 0
    assert this_machine(1).memory_gb > 0.1


def test_the_streaming_recipe_reads_forward_60_ms_at_a_time():
    recipe = asr_own_data.asr_streaming()
    with torch.device("meta"):
        model = recipe.model.build(recipe.features.mels, 40)
    assert isinstance(model, StreamingTransducer)
    assert model.streams
    assert model.reduction * recipe.features.hop_ms == 60
