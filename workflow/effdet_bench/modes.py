"""Modes and engines, as far as they are known without importing an engine, which takes seconds."""

import ast
import json
import pkgutil
from pathlib import Path
from typing import Any

import yaml

from effdet_bench import engines
from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.names import BASELINE, TWIN
from effdet_bench.versions import versions

MODES = Path(__file__).parents[1] / "modes.yaml"


def read_modes(given: str | list) -> list[dict]:
    """Modes as {name, engine, options}, those that are only named from workflow/modes.yaml.

    Raises:
        BenchError: there is no such mode, engine or option.
    """
    shipped = yaml.safe_load(MODES.read_text())
    modes = []
    for index, entry in enumerate(shipped if given == "all" else given):
        if isinstance(entry, str):
            if entry not in shipped:
                raise BenchError(
                    f"config: modes[{index}] is {entry!r}, but workflow/modes.yaml has "
                    f"{', '.join(shipped)}{did_you_mean(entry, shipped)}."
                )
            entry = {"name": entry, **shipped[entry]}
        modes.append(_mode(f"modes[{index}]", **entry))
    return modes


def engine_names() -> list[str]:
    """The engines there are: the modules of `effdet_bench.engines`."""
    return [module.name for module in pkgutil.iter_modules(engines.__path__)]


def engine_options(engine: str) -> dict[str, list]:
    """Options that `engine` takes, each with its values."""
    return _of_engine(engine, "OPTIONS") or {}


def engine_versions(engine: str) -> dict[str, str]:
    """Versions that answers of `engine` depend on, its own packages among them."""
    return versions(_of_engine(engine, "PACKAGES") or ())


def export_of(mode: dict, device: str) -> dict | None:
    """What `mode` runs on: name, device, engine and options of an export; `None` if on none.

    Modes that differ only in what is decided when an export is loaded have the same one.
    """
    exports = _of_engine(mode["engine"], "EXPORTS")
    if exports is None:
        return None
    precision = exports[mode["options"].get("precision", "fp32")]
    fused = bool(mode["options"].get("fused"))
    name = f"{mode['engine']}-{device}-{precision}" + ("-fused" if fused else "")
    options = {"precision": precision, "fused": fused}
    return {"name": name, "device": device, "engine": mode["engine"], "options": options}


def assigned(module: Path, name: str) -> ast.expr | None:
    """What `module` assigns to `name`, from its source: an import would take seconds."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return node.value
    return None


def _of_engine(engine: str, name: str) -> Any:
    """What the module of `engine` assigns to `name`, a literal; `None` if nothing."""
    value = assigned(Path(engines.__path__[0]) / f"{engine}.py", name)
    return None if value is None else ast.literal_eval(value)


def _mode(where: str, name: str, engine: str, **options: Any) -> dict:
    _check_choice(f"{where}.engine", engine, engine_names())
    known = engine_options(engine)
    for key, value in options.items():
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            raise BenchError(
                f"config: {where} has the option {key!r}, but the engine {engine} {takes}"
                f"{did_you_mean(key, known)}."
            )
        _check_choice(f"{where}.{key}", value, known[key])
    if name == TWIN:
        raise BenchError(
            f"config: {where} is named {TWIN}, which the setting `twin` adds by itself; "
            "give it another name."
        )
    if name == BASELINE and (engine != "eager" or options):
        raise BenchError(
            f"config: {where} is named baseline, which must have the engine eager without options; "
            "give it another name."
        )
    return {"name": name, "engine": engine, "options": options}


def _check_choice(where: str, value: Any, choices: list) -> None:
    if value not in choices:
        shown = ", ".join(json.dumps(choice).strip('"') for choice in choices)
        raise BenchError(
            f"config: {where} is {value!r}, but must be one of {shown}"
            f"{did_you_mean(value, [c for c in choices if isinstance(c, str)])}."
        )
