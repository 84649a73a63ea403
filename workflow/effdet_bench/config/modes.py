"""Modes: engines with options, as config.yaml names them or writes them in full."""

import json
import platform
import re
import shutil
from typing import Any, TypedDict

import yaml

from effdet_bench import layout
from effdet_bench.config.declarations import FP32, OptionValue, declaration, engine_names
from effdet_bench.config.machine import gpu_names
from effdet_bench.config.names import BASELINE, CONTROL, DEVICES, NO_NETWORK
from effdet_bench.config.versions import versions
from effdet_bench.errors import BenchError, did_you_mean

Options = dict[str, OptionValue]  # of a mode; what it does not set is off

# What `fused` of version 0.1 stands for; archives and configs of then are still read.
FUSED: dict[OptionValue, Options] = {
    False: {},
    "network": {"rewritten": True},
    True: {"rewritten": True, "sparse_postprocess": True},
}
# The mode without a network had the name and the engine of the verdict INVALID in version 0.1.
RENAMED = {"invalid": "no-network"}


class Mode(TypedDict):
    """A named configuration of an engine.

    It is run on its `devices`. `env` are environment variables that its process is started with,
    and `python` is its interpreter, `None` for the one that everything runs in.
    """

    name: str
    engine: str
    options: Options
    devices: list[str]
    env: dict[str, str]
    python: str | None


class Export(TypedDict):
    """What modes run on that need an export; its `options` are `precision` and `rewritten`.

    `python` is the interpreter that makes it, as for a `Mode`: a format is of a version.
    """

    name: str
    device: str
    engine: str
    options: Options
    python: str | None


def read_modes(given: str | list[str | dict[str, Any]]) -> list[Mode]:
    """Modes of the setting `modes`; those that are only named are taken from modes.yaml.

    Raises:
        BenchError: there is no such mode, engine or option.
    """
    shipped = shipped_modes()
    modes = []
    for index, entry in enumerate(shipped if given == "all" else given):
        if isinstance(entry, str):
            entry = RENAMED.get(entry, entry)
            if entry not in shipped:
                raise BenchError(
                    f"config: modes[{index}] is {entry!r}, but the modes that come with it are "
                    f"{', '.join(shipped)}{did_you_mean(entry, shipped)}."
                )
            entry = {"name": entry, **_for_this_system(shipped[entry])}
        modes.append(_mode(f"modes[{index}]", **entry))
    return modes


def shipped_modes() -> dict[str, dict[str, Any]]:
    """What modes.yaml says of every mode in it, by name."""
    shipped: dict[str, dict[str, Any]] = yaml.safe_load(layout.MODES.read_text())
    return shipped


def engine_versions(engine: str) -> dict[str, str]:
    """Versions that answers of `engine` depend on, its own packages among them."""
    return versions(declaration(engine).packages)


def precision_of(mode: Mode) -> str:
    """What the networks of `mode` compute in: what it asks for, or its engine's first choice."""
    declared = declaration(mode["engine"]).options.get("precision", [FP32])
    return str(mode["options"].get("precision", declared[0]))


def export_of(mode: Mode, device: str) -> Export | None:
    """The export that `mode` runs on; `None` if on none.

    Modes that differ only in what is decided when an export is loaded have the same one.
    """
    declared = declaration(mode["engine"])
    if declared.exports is None:
        return None
    precision = declared.exports[precision_of(mode)]
    rewritten = bool(mode["options"].get("rewritten"))
    # what is built for one GPU may not run on another
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


def in_present_words(options: Options) -> Options:
    """`options` of a mode, with those of version 0.1 under their present names."""
    kept = {key: value for key, value in options.items() if key != "fused"}
    return kept | FUSED.get(options.get("fused", False), {})


def _for_this_system(mode: dict[str, Any]) -> dict[str, Any]:
    """A shipped `mode`; without glibc's allocator where there is none, if it is more than that."""
    has_more = mode.keys() - {"engine", "env", "devices"}
    if has_more and platform.libc_ver()[0] != "glibc":
        return {key: value for key, value in mode.items() if key != "env"}
    return mode


def _mode(
    where: str,
    name: str,
    engine: str,
    devices: list[str] | None = None,
    env: dict[str, str] | None = None,
    python: str | None = None,
    **options: OptionValue,
) -> Mode:
    engine = NO_NETWORK[0] if engine in NO_NETWORK else engine
    _check_choice(f"{where}.engine", engine, engine_names())
    known = declaration(engine).options
    if "fused" not in known and options.get("fused") in list(FUSED):
        present = in_present_words(options)
        options = {key: value for key, value in present.items() if key in {*known, *options}}
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
