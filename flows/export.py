"""A corpus given out to other tools, with its clips, texts and splits, and a list of what it had to leave out.

shards or text --export_corpus--> a folder or s3://bucket/prefix

python -m flows.export --shards artifacts/shards/0123456789abcdef --format webdataset --out /data/given

SHARDS is what ingest made: its path, or its name in the artifact store as the flows print it, shards/0123456789abcdef.
What is given out can be read again: as --corpus webdataset:OUT, of nemo and csv as manifest:OUT, of labeled texts in
csv as labeled:OUT/texts.csv.
"""

from pathlib import Path
from typing import Any

from flows.command_line.parsers import PARSERS
from flows.shared.command_line import GOES_ON
from infra import artifact_store, storage
from infra.artifact_store import MANIFEST, Artifact
from infra.errors import UserError, explain_full_disk, one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from infra.processes import end_orphans
from infra.settings import settings
from tasks.bundles.model_bundle import import_model
from tasks.publishing.export_corpus import Export, Format, export_corpus


def artifact_at(place: str) -> Artifact:
    """The shards or the text at a path, a URI, or a name in the store."""
    stored, kinds = storage.join(settings().root, place), ("shards", "text")
    if not storage.stat(storage.join(stored, MANIFEST)):
        return import_model(place, kinds)
    found = artifact_store.artifact_at(stored)  # each clip is checked as it is given out
    if found.kind not in kinds:
        raise UserError(f"{place} holds {found.kind}, not a shards or a text")
    return found


def export(shards: str, form: Format, out: str) -> dict[str, Any]:
    """Give the corpus out; what export.json holds."""
    place = out.rstrip("/") if storage.is_s3(out) else str(Path(out).expanduser().absolute())
    with explain_full_disk():
        return export_corpus(artifact_at(shards), Export(format=form, out=place))


def main() -> None:
    given = PARSERS["flows.export"]().parse_args()
    end_orphans()
    force_exit_on_interrupt(GOES_ON)
    with one_line_errors(interrupted=GOES_ON):
        from prefect import flow  # a refused command need not wait for it

        told = flow(name="export")(export)(given.shards, given.format, given.out)
        counts = ", ".join(f"{name} {count:,}" for name, count in told["splits"].items())
        print(f"{told['artifact']} as {told['format']} at {given.out}: {counts}")


if __name__ == "__main__":
    main()
