"""The search weights that a recognizer is best with, tried on a split and written into its bundle.

bundle (with a language model, a lexicon), corpus --ingest, extract--> features --grid_search--> grid --add--> bundle
    --decode, evaluate--> scores --report, publish--> heat map, the registered model's next version

python -m flows.tune_decoding --model asr@champion --corpus an4:/data/an4 --split dev --lm ngram@champion
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL, MODEL_NAME, SPLIT, corpus_field, settings_field
from flows.kinds.model_kind import inference
from flows.kinds.speech import SPEECH
from flows.shared.command_line import model_arguments, run_flow
from flows.shared.evaluation_plan import (
    SearchPlan,
    add_search_resources,
    check_adaptation,
    require_recognizer,
    search_plan,
)
from flows.shared.overrides import override
from flows.shared.run_summary import summarize_run
from infra import model_registry
from models.interface import Beam
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources
from tasks.bundles.model_bundle import check_golden_outputs, import_model
from tasks.corpora.corpus_uri import parse_corpus
from tasks.decoding.tune_decoding import SearchGrid, TuningConfig, grid_search
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model
from tasks.reports.report_tuning import report_tuning


@dataclass(frozen=True, kw_only=True)
class TuningPlan(SearchPlan):
    """What `--set` may replace. The grid's default is for a model of words; for one of tokens set insertion_bonus."""

    grid: SearchGrid = field(default_factory=lambda: SearchGrid(lm_weight=WEIGHTS, word_bonus=BONUSES))


WEIGHTS, BONUSES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


@flow(name="tune-decoding", flow_run_name="{model} on {corpus} {split}")
def tune_decoding(
    model: Annotated[str, MODEL] = "asr@champion",
    corpus: Annotated[str, corpus_field("asr")] = "demo:",
    split: Annotated[str, SPLIT] = "dev",
    settings: Annotated[tuple[str, ...], settings_field("grid.lm_weight=0.2,0.5,1")] = (),
    model_name: Annotated[str, MODEL_NAME] = "asr",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Try a grid of search weights on one split of a corpus, and register the bundle with the best.

    Args:
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle.
        corpus: KIND:URI, as for training.
        split: train, dev or test.
        settings: values to replace, such as grid.lm_weight=0.2,0.5,1, beam.width=32 or lm=ngram@champion.
        model_name: what the tuned model is registered as in MLflow.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    place, title = parse_corpus(corpus, "utterances"), f"tune {model} on {corpus} {split}"
    names = {"recipe": f"tuned {model}", "name": model_name, "alias": alias}
    publication = Registration(run_name=title, corpus=str(place), **names)
    given = require_recognizer(import_model(model_registry.resolve_model(model)))
    plan = override(TuningPlan(**vars(search_plan(given))), settings)
    tuning = TuningConfig(grid=plan.grid, beam=plan.beam, **inference(given, plan, split))
    bundle = check_adaptation(add_search_resources(given, plan, tuning.beams[-1]), plan)
    check_golden_outputs(bundle, tuning.beams[0])

    data = SPEECH.read(bundle, place, split, plan)
    table = grid_search(bundle, data.examples, tuning)
    best = Beam(**table.read_json("tuning.json")["beam"])
    tuned = add_decoding_resources(bundle, None, DecodingResources(beam=best))

    scores, said = SPEECH.score(tuned, data.examples, replace(plan, beam=best), split)
    page, data_used = report_tuning(table, title), (data.corpus, data.examples, *said)
    outcome = RunOutcome(
        bundle=tuned, page=page, splits=(split,), scores=(scores,), data=data_used, ranking=SPEECH.ranking
    )
    return summarize_run(outcome, publish_model(outcome, data.tokenizer, plan, tuned.digest, publication))


if __name__ == "__main__":
    run_flow(tune_decoding, model_arguments("tune_decoding", "utterances"))
