"""What an engine's file declares: computed in any way; a mistake is a sentence that names it."""

import re

import pytest

from effdet_bench.config.declarations import declaration
from effdet_bench.errors import BenchError
from effdet_bench.facts import engines
from effdet_bench.facts.engines import engine_names
from helpers import ROOT

LOAD = "def load(models, device, options): ...\n"


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """What an engine's file with this text declares."""
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setattr(engines, "FOLDER", folder)
    declaration.cache_clear()
    engines.located.cache_clear()
    yield lambda text: (
        (folder / "mine.py").write_text(text),
        declaration("mine"),
    )[1]
    declaration.cache_clear()
    engines.located.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        'OPTIONS = {"x": [1, 2]}',
        'OPTIONS: dict[str, list] = {"x": [1, 2]}',
        'SOME = [1, 2]\nOPTIONS = {"x": SOME}',
        'OPTIONS = {}\nOPTIONS["x"] = [1]\nOPTIONS["x"] += [2]',
        "OPTIONS = {}\nOPTIONS.update(x=[1, 2])",
        'import math\ndef made(): return [1, math.isqrt(4)]\nOPTIONS = {"x": made()}',
        'import no_such_package\nOPTIONS = {"x": [1, 2]}',
    ],
)
def test_options_are_declared_once_however_they_are_computed(declared, text):
    assert declared(f"{text}\n{LOAD}").options == {"x": [1, 2]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def", "line 1 is no Python"),
        ("OPTIONS = {}", "there is no function load"),
        (f"OPTIONS = []\n{LOAD}", "OPTIONS is [], but must be a dictionary of lists"),
        (f'OPTIONS = {{"x": []}}\n{LOAD}', "must be a dictionary of lists"),
        (f"OPTIONS = nothing\n{LOAD}", "OPTIONS and EXPORTS and PACKAGES cannot be computed"),
        (f'EXPORTS = {{"fp32": "fp32"}}\n{LOAD}', "no export(model"),
        (
            f'OPTIONS = {{"precision": ["bf16"]}}\nEXPORTS = {{}}\ndef export(): ...\n{LOAD}',
            "EXPORTS names no export for the precision bf16",
        ),
        (f'PACKAGES = "torch"\n{LOAD}', "PACKAGES is 'torch', but must be a list"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_file(declared, text, words):
    with pytest.raises(BenchError) as caught:
        declared(text)
    assert str(caught.value).startswith("engines/mine.py: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_engine_of_the_project_is_declared():
    assert {"eager", "openvino", "tensorrt"} <= set(engine_names())
    for name in engine_names():
        assert declaration(name)


def test_the_engine_of_the_walk_through_is_one(declared):
    text = (ROOT / "docs" / "engines.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert declared(code).options == {"copies": [1, 2], "sparse_postprocess": [False, True]}
