"""Digests of code: an edit changes those that it concerns. Imports are found in all statements."""

import shutil
import subprocess

import pytest

from effdet_bench import layout
from effdet_bench.facts import code, engines
from effdet_bench.facts.code import code_of_job, code_of_judge
from helpers import ROOT

IMPORTS = """
import effdet_bench.a0
try:
    import effdet_bench.a1
except ImportError:
    import effdet_bench.a2
else:
    import effdet_bench.a3
finally:
    import effdet_bench.a4
async def function():
    async with thing, other:
        from effdet_bench import a5
    if thing:
        pass
    elif other:
        from effdet_bench.a6 import name
    for _ in ():
        pass
    else:
        while thing:
            import effdet_bench.a7
match thing:
    case 1:
        import effdet_bench.a8
class Kind:
    def method(self):
        import effdet_bench.a9
"""


def test_imports_are_found_in_every_kind_of_statement(tmp_path):
    (tmp_path / "module.py").write_text(IMPORTS)
    found = " ".join(code._imports(tmp_path / "module.py"))
    assert all(f"effdet_bench.a{number}" in found for number in range(10))


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Edits a file in a copy of the package, which lies in no checkout."""
    package = tmp_path / layout.PACKAGE.name
    shutil.copytree(layout.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(layout, "PACKAGE", package)
    monkeypatch.setattr(layout, "TOLERANCES", package / "schemas" / "tolerances.yaml")
    monkeypatch.setattr(engines, "FOLDER", package / "engines")
    caches = (engines.located, code._commit, code._path)
    for one in caches:
        one.cache_clear()

    def edit(name: str) -> None:
        code._without_comments.cache_clear()
        (package / name).write_text((package / name).read_text() + "EDITED: 1\n")

    yield edit
    for one in caches:
        one.cache_clear()


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("timing/turns.py", {"harness"}),
        ("engines/eager.py", {"engine"}),
        ("engines/openvino.py", set()),
        ("validity/gate.py", {"judge"}),
        ("schemas/tolerances.yaml", {"judge"}),
    ],
)
def test_an_edit_changes_the_digest_of_what_it_concerns(edited, name, changed):
    before = code_of_job("eager", False) | {"judge": code_of_judge()}
    edited(name)
    after = code_of_job("eager", False) | {"judge": code_of_judge()}
    assert {key for key in before if before[key] != after[key]} == changed
    assert before["commit"] is before["changed"] is None


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_a_checkout_names_its_commit():
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True, capture_output=True)
    found = code_of_job("eager", False)
    assert found["commit"] == told.stdout.strip()
    assert found["changed"] in (True, False)
