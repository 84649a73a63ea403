"""Loads engines. Errors name the engine's file, or the package that is missing."""

import sys
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from types import ModuleType

import torch

from effdet_bench import layout
from effdet_bench.config.declarations import declaration
from effdet_bench.config.modes import Options
from effdet_bench.config.names import PRECISIONS
from effdet_bench.detector.ensemble import Model
from effdet_bench.engines.base import Engine
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.facts.engines import engine_file, is_shipped, located


def load_engine(
    name: str, models: list[Model], device: torch.device, options: Options | None = None
) -> Engine:
    """Loads `models` into the engine `name` on `device`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
        BenchError: what the engine's file returns is no engine; the text names the file.
    """
    module = engine_module(name)
    try:
        engine = module.load(models, device, options or {})
    except Exception as error:
        add_place(error, name, "loaded the networks")
        raise
    if not isinstance(engine, Engine):
        raise BenchError(f"{engine_file(name)}: load returns {engine!r}, which is no Engine.")
    if not isinstance(getattr(engine, "version", None), str):
        raise BenchError(f"{engine_file(name)}: the engine has no `version`: set it to a text.")
    if engine.precision not in PRECISIONS:
        raise BenchError(
            f"{engine_file(name)}: the precision is {engine.precision!r}, but must be one of "
            f"{', '.join(PRECISIONS)}."
        )
    return engine


def engine_module(name: str) -> ModuleType:
    """The module of the engine `name`.

    Raises:
        UnavailableError: a package that the engine needs is not installed.
        BenchError: there is no such engine, or it breaks the rules for engines; the text names its
            file.
    """
    module = located(name).module
    declaration(name)
    try:
        return import_module(module)
    except ImportError as error:
        if _is_mistake(error, module):
            where = f"{engine_file(name)}{_line(error, name)}"
            raise BenchError(f"{where} cannot be imported: {error}.") from None
        raise missing_package(name, error) from None


def _is_mistake(error: ImportError, module: str) -> bool:
    """Whether the `module` of an engine is to blame: it asks for what installed packages lack."""
    package, _, inside = (error.name or "").partition(".")
    if package in ("effdet_bench", module.split(".")[0]):
        return True
    installed = sys.modules.get(package) is not None
    return installed and (bool(inside) or "cannot import name" in str(error))


def missing_package(engine: str, error: ImportError) -> UnavailableError:
    """The error for a package that `engine` needs and that cannot be imported."""
    package = (error.name or engine).split(".")[0]
    how = f"install the package {package}"
    if is_shipped(engine) and engine in _extras():
        how = f"install the extra `{engine}` of effdet-bench"
        if layout.WORKFLOW != layout.INSTALLED:
            how = f"install with `pip install -e '.[{engine}]' -c constraints.txt`"
    return UnavailableError(
        f"the engine {engine} needs the package {package}, which cannot be imported ({error}): "
        f"{how}."
    )


def _extras() -> list[str]:
    """The extras of effdet-bench; none in a bundle, which contains the package's files alone."""
    try:
        return metadata("effdet-bench").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return []


def add_place(error: Exception, engine: str, doing: str) -> None:
    """Adds to `error` in which line of its file `engine` was, and what it was `doing`."""
    line = _line(error, engine)
    error.add_note(f"while {engine_file(engine)}{line} {doing}")
    # then `outcome_of` looks for no other place
    error.place_is_noted = bool(line)  # type: ignore[attr-defined]


def arose_in(engine: str, error: Exception) -> bool:
    """Whether `error` arose in the file of `engine`, or in what this file called."""
    return bool(_line(error, engine))


def _line(error: Exception, engine: str) -> str:
    """`, line N,` of the file of `engine` where `error` came from; else empty."""
    path = str(located(engine).path)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f", line {lines[-1]}," if lines else ""
