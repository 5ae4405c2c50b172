"""What `--model` names, as an artifact of this store: a model, or several that write together, with commas between.

A bundle of several holds the weights of each, and all else of the first: its search, and what it fuses. It has no
learning curve, for its members have one each.
"""

from collections.abc import Sequence
from dataclasses import replace

from infra import model_registry
from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from models import ensemble
from models.registry import describe_config
from tasks.bundles.bundle_files import BACKBONE, FEATURES, SPEC, TRAINING, read_arrays, read_object, read_spec
from tasks.bundles.model_bundle import import_model, load_bundle, model_outputs
from tasks.bundles.training_checkpoints import to_bytes
from tasks.text.tokenizer import FILE, MODEL, SOURCE

SHARED = (FILE, MODEL, SOURCE + FILE, SOURCE + MODEL, FEATURES)  # what the models that write together have in common
Member = tuple[str, Artifact]  # what a bundle was called, and it


def find_model(model: str, kinds: Sequence[str] = ("bundle",)) -> Artifact:
    """NAME@ALIAS or NAME/VERSION of the registry, the path or the URI of a model; or an ensemble, each with a comma
    before the next. Raises UserError for what is not there, for other kinds, and for models that cannot write together.
    """
    names = model_registry.split_models(model)
    found = [import_model(model_registry.resolve_model(name), kinds) for name in names]
    return found[0] if len(found) == 1 else make_ensemble(list(zip(names, found, strict=True)))


def make_ensemble(members: Sequence[Member]) -> Artifact:
    """A member that is there twice counts twice. Raises UserError where tokens, features or languages are not the same,
    and for models that do not write token after token.
    """
    for name, bundle in members:
        if bundle.kind != "bundle":
            raise UserError(f"{name}: a model that writes together with others is a neural one")
    for other in members[1:]:
        _check_alike(members[0], other)
    specs, weights = [], {}
    for number, (_, bundle) in enumerate(members):
        model = load_bundle(bundle).model
        specs.append(describe_config(model.config))
        weights |= {f"members.{number}.{key}": tensor for key, tensor in model.state_dict().items()}
    told, sizes = read_spec(members[0][1]), ("source_size", "target_size")
    try:
        config = ensemble.Config(members=tuple(specs))
        model = config.build(*(told[size] for size in sizes)).eval()
    except ValueError as error:
        raise UserError(f"{', '.join(name for name, _ in members)}: {error}; name one model") from error
    model.load_state_dict(weights)
    return _write(members, model, {name: told[name] for name in sizes})


def _check_alike(member: Member, another: Member) -> None:
    (first, one), (other, two) = member, another
    for name in sorted({*one.names(), *two.names()}):
        if not (name in SHARED or name.startswith(BACKBONE)):
            continue
        if name not in one.names() or name not in two.names() or one.read(name) != two.read(name):
            told = f"{first} and {other} have not the same {name}, and so cannot write together"
            raise UserError(f"{told}; train them on one corpus, with the same tokens and features")
    languages = [read_object(bundle, TRAINING).get("languages") for bundle in (one, two)]
    if languages[0] != languages[1]:
        raise UserError(f"{first} and {other} are of other languages: {languages[0]} and {languages[1]}")


def _write(members: Sequence[Member], model: ensemble.Ensemble, sizes: dict[str, int]) -> Artifact:
    first = members[0][1]
    with new_draft("bundle") as out:
        for name in first.names():
            if name not in {SPEC, TRAINING, "weights.pt", "golden.json"}:
                out.put(name, first.read(name))
        out.put_json(SPEC, describe_config(model.config) | sizes)
        own = {"history": [], "best": {}, "members": [bundle.digest for _, bundle in members]}
        out.put_json(TRAINING, read_object(first, TRAINING) | own)
        out.put("weights.pt", to_bytes(model.state_dict()))
        golden = read_arrays(first.read("golden.npz"))
        out.put_json("golden.json", model_outputs(replace(load_bundle(first), model=model), golden))
    return out.result()
