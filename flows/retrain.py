"""New releases of a corpus to a better model: taken in, trained on, held against the champion, promoted or not.

    watched place --find--> releases --update--> data set --gate, features--> training, from the champion
        champion, challenger --decode the same frozen test set--> paired bootstrap --> promoted or not, with evidence

    scriptorium retrain --watch s3://releases/commonvoice --locale fa --name asr-fa
    scriptorium retrain --watch /data/releases --locale fa --name asr-fa --recipe asr_small --metric cer --json

A release is an archive or a folder directly below the watched place; one that is still being copied is left for the
next time. Where nothing is new, nothing is trained. A run that dies is started again and goes on; a second one waits.
From scratch: where the recipe has a network of its own, there is no champion, or its tokenizer cannot grow.
"""

import json
from argparse import Namespace
from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import MODEL_NAME, form_field, recipe_field, settings_field, workers_field
from flows.command_line.parsers import PARSERS
from flows.retraining.retrain_model import Retraining
from flows.retraining.retrain_plan import RetrainRequest, plan_retraining
from flows.shared.command_line import GOES_ON, start_flow
from flows.shared.run_summary import summarize_promotion, text_table
from infra.artifacts.artifact_root import check_root
from infra.errors import FAILED, WRONG_USE, one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from infra.lock import hold_lock
from infra.processes import end_orphans

WATCHED = "A folder or s3://bucket/prefix that releases are put into; KIND:URI where they are not of Common Voice."


@flow(name="retrain", flow_run_name="{name} from {watch}")
def retrain(
    watch: Annotated[str, form_field("Watched place", {"examples": ["s3://releases/commonvoice"]}, WATCHED)],
    name: Annotated[str, MODEL_NAME] = "asr",
    locale: Annotated[str, form_field("Locale", {"examples": ["fa"]})] = "",
    recipe: Annotated[str, recipe_field("asr", others=("auto",))] = "auto",
    settings: Annotated[tuple[str, ...], settings_field("promotion.metric=cer")] = (),
    workers: Annotated[int, workers_field()] = 1,
) -> dict[str, Any]:
    """Take in what is new of a corpus, train on it, and promote the model where it is better.

    Args:
        watch: a folder or s3:// prefix that releases are put into, as archives or folders; or KIND:URI.
        name: of the registered model, and by default of the data set.
        locale: of the releases, such as fa; empty: what those before have.
        recipe: of fine-tuning, which starts from the champion; any other trains from scratch; auto: asr_fine_tune.
        settings: values to replace in the recipe, and dataset=NAME, also=NAME,NAME (data sets in the mix),
            scratch=RECIPE, settle_seconds=60, leaks.speakers=false, mix.replay=0.3, promotion.metric=cer,
            promotion.tolerance=0.02.
        workers: Ray Train workers; 0: the training in this process.
    """
    order = RetrainRequest(watch, name, locale, recipe, tuple(settings), workers)
    plan = plan_retraining(order)
    with hold_lock(f"retrain-{plan.dataset}", f"a model of data set {plan.dataset}"):
        made = Retraining(order, plan).run()
    return made.told | (
        summarize_promotion(made.challenger.outcome, made.challenger.published, made.page) if made.challenger else {}
    )


def parse_arguments() -> Namespace:
    given = PARSERS["flows.retrain"]().parse_args()
    for option, key in (("dataset", "dataset"), ("metric", "promotion.metric")):
        if value := vars(given).pop(option):
            given.settings.append(f"{key}={value}")
    with one_line_errors(WRONG_USE):
        order = {name: getattr(given, name) for name in RetrainRequest._fields}
        plan_retraining(RetrainRequest(**order))
    return given


def text_result(told: dict[str, Any]) -> str:
    """For a terminal."""
    if not told["trained"]:
        return told["told"]
    decision = told["decision"]
    said = (
        ("promoted, " if decision["promoted"] else "not promoted, ") + decision["reason"] if decision else "the first"
    )
    page = [f"evidence    {decision['page']}"] if decision else []
    return "\n".join([text_table(told), f"decision    {said}", *page])


def main() -> None:
    given = parse_arguments()
    end_orphans()
    force_exit_on_interrupt(GOES_ON)
    with one_line_errors(interrupted=GOES_ON):
        check_root()
        show = partial(json.dumps, ensure_ascii=False) if given.json else text_result
        told = start_flow(retrain, {name: getattr(given, name) for name in RetrainRequest._fields})
        print(show(told))
    if told["failed"]:
        raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
