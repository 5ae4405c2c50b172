"""A trained model on a corpus it has never seen.

bundle, corpus --ingest--> shards --featurize--> features --decode--> transcripts --evaluate, report--> page

python -m flows.evaluate --model asr@champion --corpus commonvoice:/data/cv/fa --split test
"""

from typing import Any

from prefect import flow

from flows.command_line import Parser, refuse_early, run
from flows.overrides import override
from flows.results import summarise
from infra import tracking
from infra.problem import Problem
from infra.store import Artifact
from models.interface import Beam
from tasks.bundle import adopt, tokenizer_of
from tasks.corpus import Ingest, fingerprint, parse
from tasks.decode import Decoding, decode
from tasks.evaluate import Scoring, evaluate
from tasks.features import FrontEnd
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest
from tasks.plan import Batching
from tasks.publish import Measured, record
from tasks.report import Material, Page, report


@flow(name="evaluate", flow_run_name="{model} on {corpus} {split}")
def evaluate_model(
    model: str = "asr@champion",
    corpus: str = "demo:",
    split: str = "test",
    settings: list[str] = [],  # noqa: B006  (Prefect's form shows the default; it is never changed)
) -> dict[str, Any]:
    """Measure a trained model on one split of a corpus.

    Args:
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle.
        corpus: KIND:URI, as for training.
        split: train, dev or test.
        settings: values to replace, such as beam.width=32 or ingest.max_seconds=90.
    """
    place, bundle = parse(corpus), adopt(tracking.resolve_model(model))
    beam, ingesting, batching = plan_of(bundle, settings)
    architecture = bundle.read_json("model.json")["architecture"]
    front_end = FrontEnd(**bundle.read_json("features.json")["front_end"])

    shards = ingest(place, fingerprint(place), ingesting, (split,))
    features = featurize(shards, tokenizer_of(bundle), front_end, ingesting.error_budget)
    how = Decoding(beam=beam, architecture=architecture, split=split, batching=batching)
    transcripts = decode(bundle, features, how)
    scores = evaluate(transcripts, Scoring())

    material = Material(bundle, shards, features, (transcripts,), (scores,))
    page = report(material, Page(title=f"{model} on {place}", architecture=architecture, splits=(split,)))
    recorded = record(material, page, Measured(model=model, corpus=str(place), split=split))
    return summarise(material, page, recorded, (split,))


def plan_of(bundle: Artifact, settings: list[str]) -> tuple[Beam, Ingest, Batching]:
    """The bundle's beam and defaults for the rest, with the settings applied."""
    plan: dict[str, Any] = {"beam": Beam(**bundle.read_json("decode.json")), "ingest": Ingest(), "batching": Batching()}
    for setting in settings:
        name, _, rest = setting.partition(".")
        if name not in plan:
            raise Problem(f"--set {setting}: evaluation takes {', '.join(f'{key}.*' for key in plan)}")
        plan[name] = override(plan[name], [rest])
    return plan["beam"], plan["ingest"], plan["batching"]


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="NAME@ALIAS|PATH")
    parser.add_argument("--corpus", required=True, metavar="KIND:URI")
    parser.add_argument("--split", default="test", choices=("train", "dev", "test"))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="the last line is the result as JSON")
    parsed = parser.parse_args()
    refuse_early(lambda: parse(parsed.corpus))
    run(evaluate_model, parsed)
