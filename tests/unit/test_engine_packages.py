"""Engines of installed packages: found without an import, and every mistake is one sentence."""

import sys

import pytest

from effdet_bench.config.declarations import declaration
from effdet_bench.config.modes import engine_versions
from effdet_bench.errors import BenchError
from effdet_bench.facts import code, engines
from effdet_bench.facts.code import code_digests, module_files
from effdet_bench.facts.engines import engine_file, engine_names, located
from effdet_bench.worker.interpreter import code_digest, refuse_other_code

LOAD = "def load(models, device, options): ...\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with files, text by name, and entry points, module by engine."""
    monkeypatch.syspath_prepend(tmp_path)
    caches = (engines._installed, engines.located, declaration)

    def clear() -> None:
        for cache in caches:
            cache.cache_clear()

    def install(package: str, files: dict[str, str], entries: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        about = tmp_path / f"{package.replace('-', '_')}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = "".join(f"{name} = {module}\n" for name, module in entries.items())
        (about / "entry_points.txt").write_text(f"[effdet_bench.engines]\n{lines}")
        clear()

    install.path, install.clear = tmp_path, clear
    yield install
    clear()


def test_an_engine_in_a_package_is_found_with_all_its_files_and_its_version(install):
    files = {
        "outside/__init__.py": "raise RuntimeError('nobody imports this')",
        "outside/inner/engine.py": f"from ..tables import X\nOPTIONS = {{'x': [1]}}\n{LOAD}",
        "outside/tables.py": "X = [1, 2]",
        "outside/kernel.so": "machine code",
    }
    install("outside-engine", files, {"mine": "outside.inner.engine"})
    assert "mine" in engine_names()
    assert engine_file("mine") == "outside/inner/engine.py"
    assert engine_versions("mine")["outside-engine"] == "1.2"
    assert {path.relative_to(install.path).as_posix() for path in located("mine").files} == {*files}
    assert "outside" not in sys.modules
    before = code_digests("mine", False)["engine"]
    (install.path / "outside" / "kernel.so").write_text("other machine code")
    code._without_comments.cache_clear()
    assert code_digests("mine", False)["engine"] != before


def test_a_second_module_of_the_package_counts_too(install):
    install("outside-engine", {"outside.py": LOAD, "kernels.py": "X = 1"}, {"mine": "outside"})
    (install.path / "outside_engine-1.2.dist-info" / "top_level.txt").write_text(
        "kernels\noutside\n"
    )
    install.clear()
    assert {path.name for path in located("mine").files} == {"outside.py", "kernels.py"}


def test_what_an_engine_uses_of_effdet_bench_counts_too(install):
    text = f"from effdet_bench.detector.rewrite import rewritten\n{LOAD}"
    install("outside-engine", {"outside.py": text}, {"mine": "outside"})
    names = {path.name for path in module_files(engine="mine")}
    assert {"outside.py", "rewrite.py"} <= names


@pytest.mark.parametrize(
    ("files", "entries", "words"),
    [
        (
            {"outside.py": LOAD},
            {"mine": "elsewhere"},
            "names the module elsewhere for the engine mine, but there is no such file of Python",
        ),
        ({"outside/__init__.py": LOAD}, {"mine": "outside.engine"}, "there is no such file"),
        ({"outside.py": LOAD}, {"mine": "out-side"}, "there is no such file"),
        ({"outside.py": LOAD}, {"mine": "outside.engine"}, "there is no such file"),
        ({"outside.py": "X = 1"}, {"mine": "outside"}, "outside.py: there is no function load"),
        ({"outside.py": "def"}, {"mine": "outside"}, "outside.py: line 1 is no Python"),
        (
            {"outside.py": LOAD},
            {"eager": "outside"},
            "several engines 'eager', of the packages effdet-bench and outside-engine",
        ),
    ],
)
def test_a_mistake_is_one_sentence(install, files, entries, words):
    install("outside-engine", files, entries)
    with pytest.raises(BenchError) as caught:
        declaration(next(iter(entries)))
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_two_packages_with_one_name_are_told(install):
    install("one", {"one.py": LOAD}, {"mine": "one"})
    install("two", {"two.py": LOAD}, {"mine": "two"})
    with pytest.raises(BenchError, match=r"of the packages (one and two|two and one): uninstall"):
        located("mine")


def test_an_interpreter_with_another_version_of_an_engines_package_is_refused(install):
    install("outside-engine", {"outside.py": LOAD}, {"mine": "outside"})
    ours = code_digest(["mine"])
    refuse_other_code(ours, ["mine"])
    (install.path / "outside.py").write_text(f"X = 1\n{LOAD}")
    with pytest.raises(BenchError, match="and the same packages of engines"):
        refuse_other_code(ours, ["mine"])
    refuse_other_code(code_digest([]), [])
