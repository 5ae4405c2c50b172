"""The search weights that a recogniser is best with, tried on a split and written into its bundle.

bundle (with a language model, a lexicon), corpus --ingest, featurize--> features --tune--> grid --equip--> bundle
    --decode, evaluate--> scores --report, publish--> heat map, the registered model's next version

python -m flows.tune_decoding --model asr@champion --corpus an4:/data/an4 --split dev --lm ngram@champion
"""

from dataclasses import dataclass, field
from typing import Any

from prefect import flow

from flows.command_line import Parser, model_arguments, run
from flows.measured import SearchPlan, adaptable, adaptation_of, equipped, recogniser
from flows.overrides import override
from flows.results import summarise
from infra import tracking
from models.interface import Beam
from tasks.bundle import adopt, front_end_of, replay, tokenizer_of
from tasks.companions import Equipment, equip
from tasks.corpus import fingerprint, parse
from tasks.decode import Decoding, decode
from tasks.evaluate import Scoring, evaluate
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest
from tasks.publish import Outcome, Publication, publish
from tasks.report_tuning import report_tuning
from tasks.tune import Grid, Tuning, tune


@dataclass(frozen=True, kw_only=True)
class TuningPlan(SearchPlan):
    """What `--set` may replace. The grid's default is for a model of words; for one of tokens set insertion_bonus."""

    grid: Grid = field(default_factory=lambda: Grid(lm_weight=WEIGHTS, word_bonus=BONUSES))


WEIGHTS, BONUSES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


@flow(name="tune-decoding", flow_run_name="{model} on {corpus} {split}")
def tune_decoding(
    model: str = "asr@champion",
    corpus: str = "demo:",
    split: str = "dev",
    settings: tuple[str, ...] = (),
    model_name: str = "asr",
    alias: str = "champion",
) -> dict[str, Any]:
    """Try a grid of search weights on one split of a corpus, and register the bundle with the best.

    Args:
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle.
        corpus: KIND:URI, as for training.
        split: train, dev or test.
        settings: values to replace, such as grid.lm_weight=0.2,0.5,1, beam.width=32 or lm=ngram@champion.
        model_name: what the tuned model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    given = recogniser(adopt(tracking.resolve_model(model)))
    place = parse(corpus, "utterances")
    plan = override(TuningPlan(beam=Beam(**given.read_json("decode.json")), adapt=adaptation_of(given)), settings)
    how = {"split": split, "batching": plan.batching, "adapt": plan.adapt}
    how |= {"architecture": given.read_json("model.json")["architecture"]}
    tuning = Tuning(grid=plan.grid, beam=plan.beam, **how)
    bundle = adaptable(equipped(given, plan, tuning.beams[-1]), plan)
    replay(bundle, tuning.beams[0])

    tokenizer = tokenizer_of(bundle)
    shards = ingest(place, fingerprint(place), plan.ingest, (split,))
    features = featurize(shards, tokenizer, front_end_of(bundle), plan.ingest.error_budget)
    table, title = tune(bundle, features, tuning), f"tune {model} on {place} {split}"
    best = Beam(**table.read_json("tuning.json")["beam"])
    tuned = equip(bundle, None, Equipment(beam=best))

    transcripts = decode(tuned, features, Decoding(beam=best, **how))
    scores, page = evaluate(transcripts, Scoring()), report_tuning(table, title)
    recipe = f"tuned {model}"
    publication = Publication(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    outcome = Outcome(bundle=tuned, page=page, splits=(split,), scores=(scores,), data=(shards, features, transcripts))
    return summarise(outcome, publish(outcome, tokenizer, plan, tuned.digest, publication))


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.add_argument("--model-name", default="asr", help="registered in MLflow as")
    parser.add_argument("--alias", default="champion")
    run(tune_decoding, model_arguments(parser, "dev", "utterances"))
