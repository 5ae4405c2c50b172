"""Which steps make their work again when a line of a package has changed: those whose bytes it decides, and no
other.
"""

import ast
from pathlib import Path

import pytest

from tasks.steps import pipeline_step
from tasks.steps.pipeline_step import code_version, source_digest

ROOT = Path(__file__).parents[3]


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def steps():
    """Every function under @step, and its module."""
    found = {}
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and "step" in [ast.unparse(d) for d in node.decorator_list]:
                found[node.name] = dotted(path)
    return found


STEPS = steps()


@pytest.fixture
def change(monkeypatch):
    """`change("tasks.audio", "X = 1")`: the steps that work again once this line stands in each module of a package."""

    def versions():
        source_digest.cache_clear()
        return {name: code_version(frozenset({module})) for name, module in STEPS.items()}

    def run(package, line):
        before, real = versions(), pipeline_step._source
        with monkeypatch.context() as patch:
            inside = (package, f"{package}.")
            patch.setattr(
                pipeline_step, "_source", lambda m: real(m) + (f"\n{line}\n" if f"{m}.".startswith(inside[1]) else "")
            )
            after = versions()
        assert versions() == before
        return {name for name in STEPS if after[name] != before[name]}

    yield run
    source_digest.cache_clear()


TEXT_STEPS = {
    "ingest_text",
    "fit_text_tokenizer",
    "tokenize_text",
    "fit_line_tokenizer",
    "train_ngram",
    "evaluate_ngram",
}
TRAIN = {"train_asr", "train_classifier", "train_language_model"}
DECODE = {"decode_speech", "predict_labels", "align_split", "grid_search"}
PUBLISH = {"publish_model", "log_evaluation", "publish_comparison"}
PAGE = {"report_promotion"}  # published too, but it plays clips and shows texts


@pytest.mark.parametrize("package", ["infra", "tasks.steps"])
def test_machinery_makes_no_work_again(change, package):
    assert change(package, "X = 1") == set()


@pytest.mark.parametrize(
    ("package", "again", "spared"),
    [
        ("flows", set(), set(STEPS)),  # what calls the steps; the values that it gives them are in their keys
        ("tasks.corpora.readers", set(), set(STEPS)),  # a corpus brings its own reader: test_pipeline_step.py
        ("tasks.audio", {"ingest_corpus", "extract_features", "align_split"}, TRAIN | PUBLISH | TEXT_STEPS),
        (
            "tasks.text",
            {"fit_tokenizer", "extract_features", "evaluate_asr"} | TRAIN | DECODE,
            {"ingest_text"} | PUBLISH,
        ),
        ("tasks.features", {"extract_features"} | TRAIN | DECODE, {"ingest_corpus", "fit_tokenizer"} | TEXT_STEPS),
        (
            "tasks.batches",
            {"tokenize_text"} | TRAIN,
            {"ingest_corpus", "ingest_text", "extract_features", "train_ngram"},
        ),
        ("tasks.ngram", {"train_ngram", "evaluate_ngram", "report_ngram"}, {"ingest_text", "extract_features"}),
        ("tasks.bundles", DECODE | TRAIN, {"ingest_corpus", "extract_features", "train_ngram", "evaluate_asr"}),
        ("tasks.decoding", DECODE | {"train_language_model"}, {"train_asr", "train_classifier", "extract_features"}),
        (
            "tasks.scoring",
            {"evaluate_asr", "evaluate_classifier", "evaluate_language_model"},
            TRAIN | DECODE | {"ingest_corpus", "extract_features"},
        ),
        ("tasks.training", TRAIN, DECODE | TEXT_STEPS | {"ingest_corpus", "extract_features", "evaluate_asr"}),
        ("tasks.reports", {"report_asr", "report_ngram"}, TRAIN | DECODE | TEXT_STEPS | {"ingest_corpus"}),
        ("tasks.publishing", PUBLISH | PAGE, set(STEPS) - PUBLISH - PAGE),
        ("models.criteria", {"extract_features"}, {"ingest_corpus", "ingest_text", "evaluate_asr"}),
    ],
)
def test_a_change_makes_only_the_work_again_that_it_decides(change, package, again, spared):
    found = change(package, "X = 1")
    assert again <= found
    assert not found & spared


def test_what_is_only_said_makes_no_work_again(change):
    assert change("tasks", "# a comment") == set()
    assert change("tasks.ingest", "def x(): return 1") >= {"ingest_corpus", "ingest_text"}


def test_a_file_beside_a_module_that_it_names_is_its_code(tmp_path, monkeypatch):
    """And neither another file there nor one that only its docstring names."""
    monkeypatch.setattr(pipeline_step, "ROOT", tmp_path)
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "a.py").write_text('"""As told in told.css."""\nSTYLE = "a.css"\nMISSING = "none.css"\nMODULE = "b.py"\n')
    caches = (pipeline_step._path, source_digest, pipeline_step.direct_imports, pipeline_step.import_closure)

    def version(**files):
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        for cached in caches:
            cached.cache_clear()
        return code_version(frozenset({"tasks.a"}))

    first = version(a_css="one", b_css="one", told_css="one", b_py="x = 1")
    again = version(b_css="two", told_css="two", b_py="x = 2")
    other = version(a_css="two")
    for cached in caches:
        cached.cache_clear()
    assert first == again != other


def test_style_and_script_are_part_of_a_report():
    folder = ROOT / "tasks/reports"
    found = pipeline_step._named_files("tasks.reports.html_page", ast.parse((folder / "html_page.py").read_text()))
    assert found == [(folder / "page.css").read_text(), (folder / "page.js").read_text()]
