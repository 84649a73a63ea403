"""What upstream must have: a version that moved it is named."""

import importlib
import types
from importlib.metadata import version

import pytest
from effdet.config import get_efficientdet_config

from effdet_bench.config.settings import known_models
from effdet_bench.detector import upstream
from effdet_bench.errors import BenchError


def test_a_version_that_moved_what_is_needed_is_named(monkeypatch):
    monkeypatch.setitem(importlib.sys.modules, "effdet.bench", types.ModuleType("effdet.bench"))
    with pytest.raises(BenchError, match=f"effdet {version('effdet')} or timm {version('timm')} "):
        importlib.reload(upstream)


def test_no_network_uses_soft_nms():
    """`nms.detect_sparingly`, the option `lean` and the check of tables have hard NMS alone."""
    assert known_models()
    assert not any(get_efficientdet_config(name).soft_nms for name in known_models())
