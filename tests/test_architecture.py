"""The rules of the code base, executable. A ceiling is raised for one file by a comment near its top: `# long: why`."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "flows": {"flows", "tasks", "models", "infra"},
    "tasks": {"tasks", "models", "infra"},
    "infra": {"infra"},
    "models": {"models"},
}
FOREIGN_TO_MODELS = {"prefect", "ray", "mlflow", "webdataset", "boto3", "pathlib", "os"}
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "constants", "manager", "handler"}
VAGUE_IN_NAMES = re.compile(r"Manager|Handler|^_*(get|do)_|(^|_)(utils?|helpers?)($|_)", re.ASCII)
# From the ground up: each imports only those before it.
PACKAGES = {
    "tasks": (
        *("steps", "corpora", "audio", "images", "text", "documents", "ingest", "features", "batches", "datasets"),
        *("ngram", "bundles", "decoding", "transcription", "scoring", "training", "reports", "archives", "publishing"),
    ),
    "models/search": ("language", "ctc", "asg", "transducer", "attention"),
}
READS_ENVIRONMENT = {"infra/settings.py", "infra/ray_cluster.py", "infra/local_services.py", "infra/processes.py"}
READS_ENVIRONMENT |= {"infra/staging/cluster.py"}  # it gives its services the shell's
NO_PAPER = {"__init__", "interface", "registry", "special_tokens"}
LONGEST_MODULE, LONGEST_FUNCTION, MOST_PARAMETERS, MOST_MODULES = 300, 50, 6, 15
# A file an architecture, a pipeline, a kind of corpus: as many as there are.
REGISTRIES = {"models", "flows", "tasks/corpora/readers"}

MODULES = sorted(path for layer in MAY_IMPORT for path in (ROOT / layer).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]


@pytest.fixture(params=MODULES, ids=NAMES)
def path(request):
    return request.param


@pytest.fixture
def source(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture
def tree(source):
    return ast.parse(source)


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def modules_imported(tree):
    """Dotted names that may be modules: of `from a import b` both a and a.b."""
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported(tree):
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert not relative, "imports are absolute"
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def may_be_long(source):
    return any(re.match(r"# long: \w", line) for line in source.splitlines()[:30])


def test_layers_import_downwards(path, tree):
    layer, used = path.relative_to(ROOT).parts[0], imported(tree)
    assert used & MAY_IMPORT.keys() <= MAY_IMPORT[layer]
    assert "tests" not in used
    if layer == "models":
        assert not used & FOREIGN_TO_MODELS


@pytest.mark.parametrize("folder", PACKAGES)
def test_packages_import_downwards(folder):
    assert {p.parent.name for p in (ROOT / folder).glob("*/__init__.py")} == set(PACKAGES[folder])
    prefix = folder.replace("/", ".")
    for path in (ROOT / folder).glob("*/**/*.py"):
        below = PACKAGES[folder][: PACKAGES[folder].index(path.relative_to(ROOT / folder).parts[0]) + 1]
        used = {name.removeprefix(f"{prefix}.") for name in modules_imported(ast.parse(path.read_text()))}
        used = {name.split(".")[0] for name in used} & set(PACKAGES[folder])
        assert used <= set(below), f"{path.relative_to(ROOT)} imports {sorted(used - set(below))}, which stand above it"


def test_no_circle():
    """Modules in an order in which each imports only those before it."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    waiting = {name: modules_imported(ast.parse(path.read_text())) & names.keys() for name, path in names.items()}
    while ready := {name for name, needs in waiting.items() if not needs}:
        waiting = {name: needs - ready for name, needs in waiting.items() if name not in ready}
    assert waiting == {}


def test_a_package_is_small_and_says_what_belongs_there():
    for init in sorted(path for path in MODULES if path.name == "__init__.py"):
        folder = str(init.parent.relative_to(ROOT))
        modules = [path for path in init.parent.glob("*.py") if path != init]
        assert len(modules) <= MOST_MODULES or folder in REGISTRIES, f"{folder} has {len(modules)} modules"
        assert ast.get_docstring(ast.parse(init.read_text())), f"{folder}: say in a line what belongs there"


def test_tests_mirror_the_tree():
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder).is_dir()] == []


def test_nothing_is_unpickled(tree):
    assert not imported(tree) & UNSAFE
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert called != "torch.load" or given.get("weights_only") == "True", f"line {node.lineno}"
            assert called not in {"np.load", "numpy.load"} or given.get("allow_pickle", "False") == "False"


def test_names_say_something(path, tree):
    assert path.stem not in VAGUE
    defined = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    assert [name for name in defined if VAGUE_IN_NAMES.search(name)] == []


def test_size(source, tree):
    lines = len(source.splitlines())
    assert may_be_long(source) or lines <= LONGEST_MODULE
    too_long = [f.name for f in functions(tree) if f.end_lineno - f.lineno >= LONGEST_FUNCTION]
    assert may_be_long(source) or too_long == []


def test_signatures(tree):
    for function in functions(tree):
        given = function.args
        names = [a.arg for a in [*given.posonlyargs, *given.args, *given.kwonlyargs] if a.arg not in {"self", "cls"}]
        assert len(names) <= MOST_PARAMETERS, function.name
        passed_on = given.kwarg and ast.unparse(given.kwarg.annotation or given.kwarg)  # P.kwargs: a typed decorator
        assert passed_on in {None, "P.kwargs"}, f"{function.name}: say which keywords it takes"


def test_docstrings(path, source, tree):
    assert not source.strip() or ast.get_docstring(tree), "a module says what it is for"
    if path.relative_to(ROOT).parts[0] != "models":  # there the module's docstring holds the equations of its classes
        public = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
        undocumented = [node.name for node in public if not ast.get_docstring(node)]
        assert undocumented == [], "a class says what it stands for"


def test_the_environment_is_read_in_one_place(path, tree):
    if str(path.relative_to(ROOT)) in READS_ENVIRONMENT:
        return
    found = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in {"environ", "getenv"}]
    assert found == [], "settings come from infra.settings"


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.py")), ids=lambda p: p.stem)
def test_an_architecture_names_its_paper(path):
    if path.stem not in NO_PAPER:
        assert "http" in (ast.get_docstring(ast.parse(path.read_text())) or "")


def test_the_rules_see_what_they_forbid(tmp_path):
    """Each rule on a line that breaks it."""
    bad = ast.parse("import os, pickle\ndef get_it(a, b, c, d, e, f, g, **rest): torch.load(x)\nos.environ['A']\n")
    with pytest.raises(AssertionError):
        test_nothing_is_unpickled(bad)
    with pytest.raises(AssertionError):
        test_names_say_something(Path("models/a.py"), bad)
    with pytest.raises(AssertionError):
        test_signatures(bad)
    with pytest.raises(AssertionError):
        test_layers_import_downwards(ROOT / "models" / "a.py", bad)
    with pytest.raises(AssertionError):
        test_the_environment_is_read_in_one_place(ROOT / "models" / "a.py", bad)
    with pytest.raises(AssertionError):
        test_docstrings(ROOT / "tasks" / "a.py", "x = 1\n", ast.parse("x = 1\n"))
    long = "\n" * 301
    with pytest.raises(AssertionError):
        test_size(long, ast.parse(long))
    test_size("# long: tables of the standard\n" + long, ast.parse(long))
