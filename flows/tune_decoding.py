"""The search weights that a recognizer or a translator is best with, tried on a split and written into its bundle.

bundle (with a language model, a lexicon), corpus --ingest, extract--> features --grid_search--> grid --add--> bundle
    --decode, evaluate--> scores --report, publish--> heat map, the registered model's next version

python -m flows.tune_decoding --model asr@champion --corpus an4:/data/an4 --split dev --lm ngram@champion
python -m flows.tune_decoding --model translation@champion --corpus parallel:/data/pairs --set grid.width=1,5,10
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL, SPLIT, corpus_field, form_field, settings_field
from flows.kinds.every_kind import model_kind
from flows.kinds.model_kind import inference
from flows.kinds.translation import TRANSLATION
from flows.shared.command_line import model_arguments, run_flow
from flows.shared.evaluation_plan import (
    SearchPlan,
    TranslationPlan,
    add_search_resources,
    check_adaptation,
    check_translation,
    require_recognizer,
    search_plan,
    translation_plan,
)
from flows.shared.overrides import override
from flows.shared.run_context import registered_name
from flows.shared.run_summary import summarize_run
from infra.artifact_store import Artifact
from infra.errors import UserError
from infra.model_registry import split_models
from models.interface import Beam
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources
from tasks.bundles.bundle_files import read_architecture
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import check_golden_outputs, lm_architecture
from tasks.corpora.corpus_uri import parse_corpus
from tasks.decoding.tune_decoding import SearchGrid, TuningConfig, grid_search
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model
from tasks.reports.report_tuning import report_tuning


@dataclass(frozen=True, kw_only=True)
class TuningPlan(SearchPlan):
    """What `--set` may replace. The grid's default is for a model of words; for one of tokens set insertion_bonus."""

    grid: SearchGrid = field(default_factory=lambda: SearchGrid(lm_weight=WEIGHTS, word_bonus=BONUSES))


@dataclass(frozen=True, kw_only=True)
class TranslationTuningPlan(TranslationPlan):
    """The same of a translator."""

    grid: SearchGrid = field(default_factory=lambda: SearchGrid(width=WIDTHS, length_norm=EXPONENTS))


WIDTHS, EXPONENTS = (1, 2, 5, 10), (0.0, 0.6, 1.0, 1.4)
WEIGHTS, BONUSES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


@flow(name="tune-decoding", flow_run_name="{model} on {corpus} {split}")
def tune_decoding(
    model: Annotated[str, MODEL] = "asr@champion",
    corpus: Annotated[str, corpus_field("asr", "translation")] = "demo:",
    split: Annotated[str, SPLIT] = "dev",
    settings: Annotated[tuple[str, ...], settings_field("grid.lm_weight=0.2,0.5,1")] = (),
    model_name: Annotated[str, form_field("Registered model", {"pattern": "^[^/:@]*$"})] = "",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Try a grid of search weights on one split of a corpus, and register the bundle with the best.

    Args:
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle; with commas several that write together.
        corpus: KIND:URI, as for training.
        split: train, dev or test.
        settings: values to replace, such as grid.lm_weight=0.2,0.5,1, beam.width=32 or lm=ngram@champion.
        model_name: what the tuned model is registered as in MLflow; empty: as the model is, or its kind.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    if len(split_models(model)) > 1 and not model_name:
        raise UserError(f"--model {model}: say what their ensemble is to be registered as, by --model-name")
    given = find_model(model)
    kind = model_kind(given)
    place, title = parse_corpus(corpus, kind.recipes.VERB), f"tune {model} on {corpus} {split}"
    bundle, plan, tuning = plan_tuning(given, split, settings)
    name = model_name or registered_name(model) or kind.recipes.MODEL_NAME
    publication = Registration(run_name=title, corpus=str(place), recipe=f"tuned {model}", name=name, alias=alias)

    data = kind.read(bundle, place, split, plan)
    table = grid_search(bundle, data.examples, tuning)
    best = Beam(**table.read_json("tuning.json")["beam"])
    tuned = add_decoding_resources(bundle, None, DecodingResources(beam=best))

    scores, said = kind.score(tuned, data.examples, replace(plan, beam=best), split)
    page, data_used = report_tuning(table, title), (data.corpus, data.examples, *said)
    outcome = RunOutcome(
        bundle=tuned, page=page, splits=(split,), scores=(scores,), data=data_used, ranking=kind.ranking
    )
    return summarize_run(outcome, publish_model(outcome, data.tokenizer, plan, tuned.digest, publication))


def plan_tuning(
    given: Artifact, split: str, settings: tuple[str, ...]
) -> tuple[Artifact, TuningPlan | TranslationTuningPlan, TuningConfig]:
    """The bundle with what its search is given, what was set, and what is tried. Raises UserError for a model without
    such a search, and for points that it does not take.
    """
    if model_kind(given) is TRANSLATION:
        plan = override(TranslationTuningPlan(**vars(translation_plan(given))), settings)
        tuning = TuningConfig(
            grid=plan.grid,
            beam=plan.beam,
            split=split,
            batching=plan.batching,
            architecture=read_architecture(given),
            lm_architecture=lm_architecture(given),
        )
        bundle = check_translation(given, replace(plan, beam=tuning.beams[-1]))
        check_golden_outputs(bundle, tuning.beams[0])
        return bundle, plan, tuning
    plan = override(TuningPlan(**vars(search_plan(require_recognizer(given)))), settings)
    tuning = TuningConfig(grid=plan.grid, beam=plan.beam, **inference(given, plan, split))
    bundle = check_adaptation(add_search_resources(given, plan, tuning.beams[-1]), plan)
    check_golden_outputs(bundle, tuning.beams[0])
    return bundle, plan, tuning


if __name__ == "__main__":
    run_flow(tune_decoding, model_arguments("tune_decoding", "utterances", "pairs"))
