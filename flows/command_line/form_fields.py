"""How Prefect shows a flow's parameters as a form, and what it refuses before a run is made.

Each is said once more to the schema, not to pydantic: a flow that is called here refuses wrong values itself, in one
line that says what would be right. What no field says of itself is in the flow's docstring.
"""

from typing import Any

from pydantic import Field

from flows.command_line.source_help import corpus_kinds, recipe_constants, recipes_by_purpose
from infra.settings import settings

SPLITS = ["train", "dev", "test"]


def form_field(title: str, schema: dict[str, Any], description: str = "") -> Any:
    """schema: keys of JSON schema, such as enum, minimum, examples."""
    told = {"description": description} if description else {}
    return Field(json_schema_extra={"title": title} | told | schema)


def corpus_field(*modules: str, verbs: tuple[str, ...] = ()) -> Any:
    """A corpus that recipes of these modules of flows/recipes/ can read, or readers that have these functions."""
    kinds = corpus_kinds(*verbs, *(recipe_constants(module)[0] for module in modules))
    told = "KIND:URI; the URI is a folder, an archive or s3://bucket/prefix on the machine that runs this. Kinds:"
    listed = _list_text(told, {f"{kind}:": line for kind, line in kinds.items()})
    return form_field("Corpus", {"pattern": f"^({'|'.join(kinds)}):"}, listed)


def recipe_field(*modules: str, others: tuple[str, ...] = ()) -> Any:
    """One of the recipes that there are. others: what may stand for a recipe."""
    found = [one for module in modules for one in recipes_by_purpose(module)]
    lines = {name: line for _, recipes in found for name, line in recipes.items()}
    return form_field("Recipe", {"enum": [*others, *lines]}, _list_text("What is trained, and how:", lines))


def _list_text(head: str, items: dict[str, str]) -> str:
    """In Markdown as the form shows it: a line each only with an empty one between, and no star of a file's pattern."""
    return "\n\n".join([head, *(f"- `{name}` {line}".replace("*", "\\*") for name, line in items.items())])


def settings_field(example: str) -> Any:
    item = {"type": "string", "pattern": "^[^=\\s]+=", "title": "KEY=VALUE"}
    told = (
        f"Values to replace, one KEY=VALUE an item, such as `{example}`. `scriptorium recipes NAME` lists a recipe's."
    )
    return form_field("Settings", {"items": item, "examples": [[example]]}, told)


def workers_field() -> Any:
    told = "Ray Train workers, each a core, or a GPU where the cluster has them; 0: the training in the flow's process."
    most = {} if settings().ray_address else {"maximum": int(settings().cores)}
    return form_field("Workers", {"minimum": 0} | most, told)


MODEL = form_field("Model", {"pattern": "[@/]", "examples": ["asr@champion", "asr/3"]})
SPLIT = form_field("Split", {"enum": SPLITS})
MODEL_NAME = form_field("Registered model", {"pattern": r"^[^/:@]+$"})
ALIAS = form_field("Alias", {"pattern": r"^[^/:@\s]*$", "examples": ["champion"]})
SEEDS = form_field("Seeds", {"items": {"type": "integer", "minimum": 0}})
