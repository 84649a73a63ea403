"""What upstream does not export: a version that moved it is named."""

import importlib
import types
from importlib.metadata import version

import pytest

from effdet_bench.detector import upstream
from effdet_bench.errors import BenchError


def test_a_version_that_moved_what_is_needed_is_named(monkeypatch):
    monkeypatch.setitem(importlib.sys.modules, "effdet.bench", types.ModuleType("effdet.bench"))
    with pytest.raises(BenchError, match=f"effdet {version('effdet')} or timm {version('timm')} "):
        importlib.reload(upstream)
