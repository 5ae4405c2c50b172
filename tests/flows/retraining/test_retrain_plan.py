"""What a retraining is asked for: settings of its own and of its recipe, and what cannot be, before any work."""

import pytest

from flows.retraining.retrain_plan import RetrainRequest, plan_retraining
from infra.errors import UserError


def request(watch, *settings, name="asr-fa", recipe="auto"):
    return RetrainRequest(str(watch), name, "fa", recipe, settings, 0)


def test_settings_go_where_they_belong(tmp_path):
    given = ("promotion.metric=cer", "fit.epochs=3", "also=a,b", "ingest.max_seconds=30", "leaks.speakers=false")
    plan = plan_retraining(request(tmp_path, *given))
    assert (plan.dataset, str(plan.watched)) == ("asr-fa", f"commonvoice:{tmp_path}")
    assert plan.settings == ("fit.epochs=3", "ingest.max_seconds=30")
    assert (plan.config.promotion.metric, plan.config.also, plan.config.leaks.speakers) == ("cer", ("a", "b"), False)
    assert plan.ingest.max_seconds == 30
    other = plan_retraining(request(f"manifest:{tmp_path}", "dataset=fa", recipe="asr_small"))
    assert (other.dataset, other.watched.kind) == ("fa", "manifest")


def test_the_same_request_again_is_known(tmp_path):
    one = request(tmp_path, "fit.epochs=3", "dataset=fa")
    assert one.digest == request(tmp_path / "moved", "dataset=fa", "fit.epochs=3").digest
    assert one.digest != request(tmp_path, "fit.epochs=4", "dataset=fa").digest


@pytest.mark.parametrize(
    ("settings", "told", "said"),
    [
        (("promotion.metric=loss",), {}, "promotion.metric is one of wer, cer"),
        (("promotion.tolerence=1",), {}, "did you mean promotion.tolerance"),
        (("fit.epoch=1",), {"recipe": "asr_small"}, "did you mean fit.epochs"),
        (("scratch=asr_smal",), {}, "did you mean asr_small"),
        ((), {"recipe": "asr_smal"}, "did you mean asr_small"),
        (("dataset=a b",), {}, "data set 'a b'"),
        ((), {"name": "a@b"}, "'@' stands between"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, settings, told, said):
    with pytest.raises(UserError, match=said) as problem:
        plan_retraining(request(tmp_path, *settings, **told))
    assert "\n" not in str(problem.value)
