"""Modes: engines with options. config.yaml gives the name of a shipped mode, or all its keys."""

import json
import platform
import re
import shutil
from typing import Any, TypedDict

from effdet_bench import layout
from effdet_bench.config.declarations import FP32, OptionValue, declaration
from effdet_bench.config.names import BASELINE, CONTROL, DEVICES
from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.facts.engines import engine_names, located
from effdet_bench.facts.machine import gpu_names
from effdet_bench.facts.versions import versions
from effdet_bench.records import read_yaml

Options = dict[str, OptionValue]  # of a mode; options that it does not set are off


class Mode(TypedDict):
    """A named configuration of an engine.

    It runs on its `devices`. Its process is started with the environment variables `env`. `python`
    is its interpreter, `None` for the interpreter of the other steps.
    """

    name: str
    engine: str
    options: Options
    devices: list[str]
    env: dict[str, str]
    python: str | None


class Export(TypedDict):
    """An export that modes share; its `options` are `precision` and `rewritten`.

    `python` is the interpreter that makes it, as in `Mode`, because file formats depend on the
    version of the engine.
    """

    name: str
    device: str
    engine: str
    options: Options
    python: str | None


def read_modes(given: str | list[str | dict[str, Any]]) -> list[Mode]:
    """The modes of the setting `modes`; modes given by name only come from modes.yaml.

    Raises:
        BenchError: there is no such mode, engine or option.
    """
    shipped = shipped_modes()
    modes = []
    for index, entry in enumerate(shipped if given == "all" else given):
        if isinstance(entry, str):
            if entry not in shipped:
                if entry in engine_names():
                    raise BenchError(
                        f"config: modes[{index}] is {entry!r}, which is an engine and no shipped "
                        f"mode: write {{name: {entry}, engine: {entry}}}."
                    )
                raise BenchError(
                    f"config: modes[{index}] is {entry!r}, but the shipped modes are "
                    f"{', '.join(shipped)}{did_you_mean(entry, shipped)}."
                )
            entry = {"name": entry, **_for_this_system(shipped[entry])}
        for key in entry:
            if not isinstance(key, str):
                raise BenchError(
                    f"config: modes[{index}] has the key {key!r}, which YAML reads as no text: "
                    "write it in quotes."
                )
        modes.append(_mode(f"modes[{index}]", **entry))
    return modes


def shipped_modes() -> dict[str, dict[str, Any]]:
    """The entries of modes.yaml, by the name of the mode."""
    shipped: dict[str, dict[str, Any]] = read_yaml(layout.MODES)
    return shipped


def engine_versions(engine: str) -> dict[str, str]:
    """Versions that answers of `engine` depend on, its own packages among them."""
    package = located(engine).package
    return versions([*declaration(engine).packages, *([package] if package else [])])


def precision_of(mode: Mode) -> str:
    """The precision of `mode`: its option `precision`, or the first that its engine declares."""
    declared = declaration(mode["engine"]).options.get("precision", [FP32])
    return str(mode["options"].get("precision", declared[0]))


def export_of(mode: Mode, device: str) -> Export | None:
    """The export that `mode` runs on; `None` if it needs no export.

    Modes share an export if they differ only in options that take effect when it is loaded.
    """
    declared = declaration(mode["engine"])
    if declared.exports is None:
        return None
    precision = declared.exports[precision_of(mode)]
    rewritten = bool(mode["options"].get("rewritten"))
    # an export built for one GPU may not run on another
    where = f"{device}-{gpu_names()[0]}" if device == "cuda" and gpu_names() else device
    name = f"{mode['engine']}-{where}-{precision}" + ("-rewritten" if rewritten else "")
    name = re.sub(r"[^a-z0-9]+", "-", f"{name}-{mode['python'] or ''}".lower()).rstrip("-")
    return {
        "name": name,
        "device": device,
        "engine": mode["engine"],
        "options": {"precision": precision, "rewritten": rewritten},
        "python": mode["python"],
    }


def _for_this_system(mode: dict[str, Any]) -> dict[str, Any]:
    """A shipped `mode`. Without glibc, its settings of glibc's allocator in `env` are left out,
    except for a mode that consists of these settings only.
    """
    has_more = mode.keys() - {"engine", "env", "devices"}
    if has_more and platform.libc_ver()[0] != "glibc":
        return {key: value for key, value in mode.items() if key != "env"}
    return mode


def _mode(
    where: str,
    /,
    name: str,
    engine: str,
    devices: list[str] | None = None,
    env: dict[str, str] | None = None,
    python: str | None = None,
    **options: OptionValue,
) -> Mode:
    _check_choice(f"{where}.engine", engine, engine_names())
    known = declaration(engine).options
    for key, value in options.items():
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            raise BenchError(
                f"config: {where} has the option {key!r}, but the engine {engine} {takes}"
                f"{did_you_mean(key, known)}."
            )
        _check_choice(f"{where}.{key}", value, known[key])
    if name == CONTROL:
        raise BenchError(
            f"config: {where} is named {CONTROL}, which the setting `twin` adds by itself; "
            "give it another name."
        )
    if name == BASELINE and (engine != "eager" or options or devices or env or python):
        raise BenchError(
            f"config: {where} is named baseline, which must have the engine eager without options; "
            "give it another name."
        )
    if python is not None and shutil.which(python) is None:
        raise BenchError(
            f"config: {where}.python is {python!r}, but there is no such program: give the path of "
            "the interpreter of an environment in which effdet-bench is installed."
        )
    return {
        "name": name,
        "engine": engine,
        "options": options,
        "devices": devices or list(DEVICES),
        "env": env or {},
        "python": python,
    }


def _check_choice(where: str, value: object, choices: list[Any]) -> None:
    if value not in choices:
        shown = ", ".join(json.dumps(choice).strip('"') for choice in choices)
        raise BenchError(
            f"config: {where} is {value!r}, but must be one of {shown}"
            f"{did_you_mean(value, [c for c in choices if isinstance(c, str)])}."
        )
