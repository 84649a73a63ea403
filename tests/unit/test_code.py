"""Which files an edit concerns, and in which direction imports may go."""

import ast
import subprocess
import sys

import pytest

from effdet_bench import layout
from effdet_bench.__main__ import COMMANDS, STEPS
from effdet_bench.facts.code import module_files
from effdet_bench.facts.engines import engine_names

# Nothing earlier imports anything later. What stands on one line may import each other.
ORDER = [
    (
        "errors",
        "imports",
        "records",
        "layout",
        "processes",
        "locks",
        "runs",
        "progress",
        "terminal",
    ),
    ("facts",),
    ("config",),
    ("detector",),
    ("engines",),
    ("checkpoints",),
    ("reference",),
    ("export",),
    ("validity",),
    ("worker",),
    ("timing",),
    ("conformance",),
    ("roofline",),
    ("summary",),
    ("load",),
    ("accuracy",),
    ("report",),
    ("archive",),
    ("deploy",),
    ("cluster",),
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
JUDGES = {
    f"validity/{name}"
    for name in (
        *("gate", "answers", "figures", "arithmetic", "agreement", "accuracy", "unseen"),
        "average_precision",
    )
}


def closure(*entries: str, engine: str | None = None) -> set[str]:
    """The modules of a step and of an engine, such as `timing/job`, and those of effdet_runtime."""
    names = (
        path.relative_to(layout.PACKAGE.parent).with_suffix("").as_posix()
        for path in module_files(*entries, engine=engine)
    )
    return {name.removeprefix("effdet_bench/").removesuffix("/__init__") for name in names}


def imports() -> list[tuple[str, str]]:
    """(module, what it imports) for every import inside the package."""
    pairs = []
    for path in sorted(layout.PACKAGE.rglob("*.py")):
        name = path.relative_to(layout.PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            pairs += [(name, one) for one in modules if one.startswith("effdet_bench.")]
    return pairs


def wrong_way(pairs: list[tuple[str, str]]) -> list[str]:
    """Imports of something later, each with both names."""
    found = []
    for module, imported in pairs:
        room, other = module.split(".")[0], imported.split(".")[1]
        if room in RANK and other in RANK and RANK[other] > RANK[room]:
            found.append(f"{module} imports {imported}")
    return found


def test_imports_go_one_way():
    pairs = imports()
    assert len(pairs) > 200
    assert wrong_way(pairs) == []


def test_a_wrong_import_is_told_with_both_names():
    pairs = [("timing.rounds", "effdet_bench.summary.summary.summarise")]
    assert wrong_way(pairs) == ["timing.rounds imports effdet_bench.summary.summary.summarise"]


def test_every_folder_has_its_place_and_says_what_it_may_import():
    folders = {path.parent.name for path in layout.PACKAGE.glob("*/__init__.py")}
    assert folders <= RANK.keys()
    for name in folders:
        words = (layout.PACKAGE / name / "__init__.py").read_text()
        assert "import" in words, name


def test_every_command_and_step_has_a_module_and_help():
    for module, text in (COMMANDS | STEPS).values():
        assert (layout.PACKAGE / f"{module.replace('.', '/')}.py").exists()
        assert text


@pytest.mark.parametrize("engine", [*engine_names()])
@pytest.mark.parametrize(
    ("step", "made_of", "not_made_of"),
    [
        (
            "timing.job",
            {"timing/rounds", "timing/requests", "detector/request", "facts/photos"},
            {},
        ),
        ("export.export", {"detector/rewrite", "export/export"}, {"export/check"}),
    ],
)
def test_judges_and_checks_are_no_part_of_what_they_judge(engine, step, made_of, not_made_of):
    """So that an edit of them neither exports nor times anything; with every engine beside it."""
    files = closure(step, engine=engine)
    assert {f"engines/{engine}", "engines/base", *made_of} <= files
    later = {name for name in files if name.split("/")[0] in ("summary", "report", "archive")}
    assert not later
    assert not files & {*JUDGES, *not_made_of, "timing/environment", "roofline/ceilings"}
    others = set(engine_names()) - {engine, "eager", "onnxruntime"}
    assert not files & {f"engines/{other}" for other in others}


# Of every step: modules whose edit concerns it, and modules whose edit must not.
CLOSURES = {
    "checkpoints.verify": ({"detector/ensemble"}, {"engines/base", "checkpoints/download"}),
    "checkpoints.synthetic": ({"detector/request"}, {"engines/base", "timing/requests"}),
    "config.settings": ({"config/modes", "facts/machine"}, {"checkpoints/catalogue"}),
    "facts.photos": ({"records"}, {"detector/request"}),
    "reference.annotations": ({"records"}, {"detector/ensemble"}),
    "reference.rounding": (
        {"reference/output_errors", "reference/reference"},
        {"engines/base", "validity/capture", *JUDGES},
    ),
    "reference.reference": (
        {"reference/outputs"},
        {"engines/base", "validity/capture", "reference/rounding", *JUDGES},
    ),
    "export.check": ({"export/export", "engines/base", "reference/output_errors"}, {*JUDGES}),
    "timing.environment": ({"facts/machine"}, {"timing/requests", "detector/ensemble"}),
    "validity.gate": (JUDGES, {"validity/capture", "detector/ensemble", "reference/reference"}),
    "roofline.roofline": ({"roofline/ceilings", "roofline/bound"}, {"engines/base", *JUDGES}),
    "summary.summary": (
        {"summary/verdicts", "summary/latency", "summary/comparison", "summary/stability"},
        {"report/words", "roofline/bound", "timing/requests", *JUDGES},
    ),
    "report.figures.draw": ({"report/figures/bars"}, {"report/words", "report/page"}),
    "report.report": (
        {"report/tables", "report/words", "report/page", "report/targets", "summary/rows"},
        {"report/figures/draw", "engines/base", "detector/request", "timing/requests", *JUDGES},
    ),
    "archive.pack": ({"archive/manifest"}, {"archive/audit", "report/report"}),
}


@pytest.mark.parametrize("step", CLOSURES)
def test_an_edit_concerns_the_steps_that_it_is_part_of(step):
    concerned, unconcerned = CLOSURES[step]
    files = closure(step)
    assert concerned <= files
    assert not files & unconcerned


def test_an_edit_of_the_runtime_concerns_the_modes_that_serve_by_it():
    served = {"effdet_runtime/pipeline", "effdet_runtime/photos", "effdet_runtime/networks"}
    assert served < closure(engine="openvino")
    assert not served & closure(engine="eager")


def test_the_runtime_needs_numpy_pillow_and_its_engine_alone():
    given = {"numpy", "PIL", "effdet_runtime", "supervision", "openvino", "onnxruntime"}
    server = {"litserve", "fastapi", "pydantic", "pydantic_core", "prometheus_client"}
    for path in (layout.PACKAGE.parent / "effdet_runtime").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            more = server if path.parent.name == "service" else set()
            roots = {name.split(".")[0] for name in names}
            assert roots <= given | more | sys.stdlib_module_names, path


def test_imports_inside_functions_count():
    assert "detector/ensemble" in closure("checkpoints.verify")


def test_only_layout_spells_out_a_path_of_the_results():
    """`timing/…/round-k` and the names of the archive's files stand in one module."""
    spelled = (
        '"timing"',
        "round-{",
        '"job.json"',
        '"requests.csv"',
        '"summary.json"',
        '"report.md"',
    )
    for path in layout.PACKAGE.rglob("*.py"):
        if path.name != "layout.py":
            text = path.read_text()
            wrong = [words for words in spelled if f"/ {words}" in text or f"/ f{words}" in text]
            assert wrong == [], path


def test_a_round_imports_no_torch_before_its_hosts_do():
    """Hosts import side by side with the process of the round, and count their import of torch."""
    code = "import sys, effdet_bench.timing.job; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
