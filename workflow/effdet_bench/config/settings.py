"""Checks config.yaml against its schema, fills in defaults, and resolves `auto`.

For every mistake, one sentence names the key, the value, and what is allowed.
"""

import argparse
import ast
import copy
import json
import math
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from effdet_bench import layout, records
from effdet_bench.config.modes import Mode, read_modes, shipped_modes
from effdet_bench.config.names import BASELINE, COCO_CLASSES, CONTROL
from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.facts import machine
from effdet_bench.facts.cores import usable_cores
from effdet_bench.records import Record

# paths, and settings that do not change how this machine is measured
NOT_ARCHIVED = ["weights_folder", "mirror", "strict", "cluster", "again", "bundle"]
PATHS = ("photos", "annotations")
# booleans in YAML, but not in --config
WORDS = {"true": True, "false": False, "on": True, "off": False}


def resolve(config: dict[str, Any]) -> dict[str, Any]:
    """Checks `config` and returns a copy with every default and `auto` replaced by its value.

    Ensemble entries become `{model, architecture, classes, file, sha256}`: `model` is the unique
    name in the ensemble, `architecture` is effdet's model name, and `file` and `sha256` are `None`
    if no file is given. Modes become `modes.Mode`; modes for other devices are left out.

    Raises:
        BenchError: a key, type or value is wrong.
    """
    schema = records.load_schema("config")
    config = _checked(config, schema)
    for kind in config.get("cluster", []):
        try:
            _checked(config | (kind.get("settings") or {}), schema)
        except BenchError as error:
            said = str(error).removeprefix("config: ")
            raise BenchError(f"config: cluster, settings of {kind['name']}: {said}") from None
    config = _with_defaults(config, schema)
    config["ensemble"] = [_ensemble_entry(entry) for entry in config["ensemble"]]
    _refuse_duplicates("ensemble", [entry["model"] for entry in config["ensemble"]])
    config["modes"] = read_modes(config["modes"])
    _refuse_duplicates("modes", [mode["name"] for mode in config["modes"]])
    of_type = schema["properties"]["cluster"]["items"]
    config["cluster"] = [_with_defaults(kind, of_type) for kind in config["cluster"]]
    _refuse_duplicates("cluster", [kind["name"] for kind in config["cluster"]])
    _check_models([entry["architecture"] for entry in config["ensemble"]])
    if config["devices"] == "auto":
        config["devices"] = machine.devices()
    config["modes"] = _of_devices(config["modes"], config["devices"])
    if config["threads"] == "auto":
        config["threads"] = usable_cores()
    if config["machine"] == "auto":
        config["machine"] = machine.default_name()
    if config["photos"] == "shipped":
        config["photos"] = str(layout.SHIPPED_PHOTOS)
    if config["annotations"] is not None and not Path(config["annotations"]).is_file():
        raise BenchError(
            f"config: annotations is {config['annotations']!r}, but there is no such file."
        )
    if config["accuracy"] and config["annotations"] is None:
        raise BenchError(
            "config: accuracy is on, but annotations is null: give the COCO instances file of the "
            "photos; docs/accuracy.md says how to get the photos and annotations of val2017."
        )
    names = [mode["name"] for mode in config["modes"]]
    _refuse_unknown_steps(config["ablation"], [*names, *shipped_modes()])
    if config["twin"] and BASELINE in names:
        index = names.index(BASELINE)
        config["modes"].insert(index + 1, config["modes"][index] | {"name": CONTROL})
    return config


def _checked(config: dict[str, Any], schema: Record) -> dict[str, Any]:
    """`config` with booleans in place of `WORDS`, if it follows the `schema`."""
    config = _of_terminal(config)
    _refuse_no_numbers(config, "")
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda e: e.json_path)
    if errors:
        raise BenchError(_sentence(errors[0]))
    return config


def archived(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a resolved `config` that an archive keeps.

    Keys of `NOT_ARCHIVED` are left out, and paths are cut to the name of the file or folder.
    """
    kept = copy.deepcopy(config)
    for key in NOT_ARCHIVED:
        del kept[key]
    if kept["photos"] == str(layout.SHIPPED_PHOTOS):
        kept["photos"] = "shipped"
    paths = [*((kept, key) for key in PATHS), *((entry, "file") for entry in kept["ensemble"])]
    for entry, key in paths:
        if entry[key] is not None:
            entry[key] = Path(entry[key]).name
    return kept


def options(files: Iterable[str | Path], given: Mapping[str, Any]) -> list[str]:
    """Options of Snakemake that give a run the settings of `files` and `given` once more.

    As in `archived`, settings of this machine are left out. Paths outside of this folder are cut to
    a name.
    """
    names = [_from_here(f) for f in files if os.path.relpath(f) != "config.yaml"]
    settings = [
        f"{key}={_of_option(_from_here(value) if key in PATHS and value else value)}"
        for key, value in given.items()
        if key not in NOT_ARCHIVED
    ]
    files_option = ["--configfile", *names] if names else []
    return files_option + (["--config", *settings] if settings else [])


def _from_here(path: str | Path) -> str:
    from_here = Path(os.path.relpath(path))
    return from_here.name if os.pardir in from_here.parts else str(from_here)


def _of_option(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=json.loads, required=True, help="settings, as JSON")
    parser.add_argument("--options", type=json.loads, required=True, help="JSON: as of `options`")
    parser.add_argument(
        "--counted", type=json.loads, required=True, help="JSON: rounds that count, by mode"
    )
    parser.add_argument("--output", required=True, help="the record to write")


def run(args: argparse.Namespace) -> None:
    record = {"config": args.config, "options": args.options, "counted": args.counted}
    records.write_json(args.output, record, "settings")


def known_models() -> list[str]:
    """Model names in the installed effdet; empty if they cannot be found."""
    package = find_spec("effdet")
    if package is None or package.origin is None:
        return []
    where = Path(package.origin).parent / "config" / "model_config.py"
    for statement in ast.parse(where.read_text()).body:
        match statement:
            case ast.Assign(
                targets=[ast.Name("efficientdet_model_param_dict")], value=ast.Call(keywords=given)
            ):
                return [keyword.arg for keyword in given if keyword.arg is not None]
    return []


def _of_terminal(value: Any) -> Any:
    """`value` with `WORDS` as booleans, because `--config` of Snakemake passes them as text."""
    if isinstance(value, dict):
        # all variables of `env` are text, and `true` is a usual one
        return {key: one if key == "env" else _of_terminal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_of_terminal(one) for one in value]
    return WORDS.get(value, value) if isinstance(value, str) else value


def _refuse_no_numbers(value: Any, where: str) -> None:
    """Raises for infinity and NaN: they are numbers in YAML, and limits of the schema miss them."""
    if isinstance(value, dict):
        for key, one in value.items():
            _refuse_no_numbers(one, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _refuse_no_numbers(one, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BenchError(f"config: {where} is {value}, but must be a number.")


def _sentence(error: ValidationError) -> str:
    schema: Any = error.schema
    instance: Any = error.instance
    where = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    ).lstrip(".")
    if error.validator == "additionalProperties":
        known = list(schema["properties"])
        key = next(key for key in instance if key not in known)
        inside = f" in {where}" if where else ""
        return (
            f"config: unknown key {key!r}{inside}{did_you_mean(key, known)}; "
            f"its keys are {', '.join(known)}."
        )
    allowed = _description(error)
    choices: Any = error.validator_value if error.validator == "enum" else []
    choices = [choice for choice in choices if isinstance(choice, str)]
    return f"config: {where} is {error.instance!r}, but must be {allowed}" + (
        f"{did_you_mean(error.instance, choices)}."
    )


def _description(error: ValidationError) -> str:
    """What the schema allows at the place of `error`: the description nearest to that place."""
    node: Any = records.load_schema("config")
    description = ""
    for part in error.absolute_schema_path:
        node = node[part]
        if isinstance(node, dict) and isinstance(node.get("description"), str):
            description = node["description"]
    return description


def _with_defaults(value: Any, schema: Record) -> Any:
    """A copy of `value` with the defaults of `schema`, in the schema's order."""
    if not isinstance(value, dict) or "properties" not in schema:
        return copy.deepcopy(value)
    properties = schema["properties"]
    filled = {key: value.get(key, sub.get("default")) for key, sub in properties.items()}
    return {key: _with_defaults(filled[key], sub) for key, sub in properties.items()}


def _of_devices(modes: list[Mode], devices: list[str]) -> list[Mode]:
    """The `modes` that run on any of `devices`; every device must have at least one mode."""
    for device in devices:
        if not any(device in mode["devices"] for mode in modes):
            names = ", ".join(mode["name"] for mode in modes)
            raise BenchError(
                f"config: none of the modes ({names}) is for {device}: add one that is, or remove "
                f"{device} from devices."
            )
    return [mode for mode in modes if not set(devices).isdisjoint(mode["devices"])]


def _ensemble_entry(entry: str | Record) -> dict[str, Any]:
    if isinstance(entry, str):
        entry = {"model": entry}
    return {
        "model": entry.get("name", entry["model"]),
        "architecture": entry["model"],
        "classes": entry.get("classes", COCO_CLASSES),
        "file": entry.get("file"),
        "sha256": entry.get("sha256"),
    }


def _refuse_duplicates(key: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BenchError(f"config: {key} names {name!r} twice; every name must be unique.")


def _refuse_unknown_steps(ablation: list[str], names: list[str]) -> None:
    for index, name in enumerate(ablation):
        if name not in names:
            raise BenchError(
                f"config: ablation[{index}] is {name!r}, but no mode has that name"
                f"{did_you_mean(name, names)}."
            )


def refuse_too_many(threads: int) -> None:
    """Checks that `threads` threads can run at once on this machine.

    Otherwise threads would wait for each other, and timings would measure that wait.

    Raises:
        BenchError: this process may use fewer cores.
    """
    cores = usable_cores()
    if threads > cores:
        raise BenchError(
            f"config: threads is {threads}, but this process may use {cores} cores: set threads to "
            f"{cores} at most, or to auto."
        )


def _check_models(architectures: list[str]) -> None:
    known = known_models()
    for name in architectures:
        if known and name not in known:
            raise BenchError(
                f"config: effdet has no model {name!r} that ensemble names"
                f"{did_you_mean(name, known)}; it knows {', '.join(known)}."
            )
