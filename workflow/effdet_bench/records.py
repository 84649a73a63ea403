"""Files of results: written whole or not at all, and checked against their schema."""

import functools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from effdet_bench import layout
from effdet_bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from jsonschema import Draft202012Validator

Record = dict[str, Any]  # the content of a JSON file of the archive, which its schema describes

SCHEMA_VERSION = 6

# Significant digits of floats in records. On another processor or with another NumPy, sums differ
# in the 16th digit only. So all 9 digits can be computed again anywhere, and `audit` detects an
# edit of any of them.
DIGITS = 9

DETECTION = ["x_min", "y_min", "x_max", "y_max", "score", "class"]

INTEGERS = ("latency_ns", "duration_ns")  # columns that are filled on every operating system
# The raw data of a timing job.
RAW_COLUMNS = {
    layout.REQUESTS: [
        *("request", "phase", "turn", "photo", "latency_ns", "cpu_ns", "kernel_ns"),
        *("minor_faults", "major_faults", "preempted", "other_ns", "steal_ns", "clock_khz"),
    ],
    layout.STAGES: ["request", "photo", "stage", "model", "duration_ns"],
    layout.OUTPUTS: [
        *("request", "photo", "model", "fault", "class_error", "box_error", "wrong", "ties"),
        *("errors", "table"),
    ],
    layout.ERRORS: ["errors", *(GROUPED := ["sizes", "slopes", "offsets"])],
    layout.DETECTIONS: ["table", *DETECTION],
}
# Columns of the errors that rounding gives upstream's network.
ROUNDING = ["precision", "photo", "emulation", *GROUPED]
# Columns of a mode under load; times count from the first arrival of a pass.
LOAD_COLUMNS = [
    *("pass", "request", "photo", "instance", "batch", "arrived_ns", "taken_ns", "began_ns"),
    *("ended_ns", "answered_ns", "answer"),
]
OLD_ERRORS = ["errors", "class_levels", "box_levels", "classes"]  # of schema version 5


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file, by libyaml where PyYAML has it, in a tenth of the time."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(path).read_text(), loader)


@functools.cache
def load_schema(name: str) -> Record:
    """The JSON schema `schemas/<name>.schema.yaml`; cached, so callers must not change it."""
    schema: Record = read_yaml(layout.SCHEMAS / f"{name}.schema.yaml")
    return schema


@functools.cache
def _validator(name: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator  # which instances of a service need not wait for

    return Draft202012Validator(load_schema(name))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes `data` under a temporary name and renames it: `path` is never half written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def write_text(path: str | Path, text: str) -> None:
    """`write_bytes` of `text` in UTF-8."""
    write_bytes(path, text.encode())


def rounded(value: Any) -> Any:
    """`value` with all floats, also those in lists and dicts, rounded to `DIGITS` digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def write_json(path: str | Path, record: Record, schema: str) -> None:
    """Checks `record` against `schema` and writes it, `rounded` and with its schema version.

    Raises:
        jsonschema.ValidationError: the record breaks its schema, which is a bug in this code.
    """
    record = rounded({"schema": schema, "schema_version": SCHEMA_VERSION, **record})
    _validator(schema).validate(record)
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | Path, schema: str) -> Record:
    """Reads a record written by `write_json`.

    Raises:
        BenchError: the file is missing, is not JSON, or does not follow `schema`.

    Records of schema version 5 are read as well.
    """
    try:
        content = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise BenchError(f"{path} is missing: run `snakemake --cores 1` to make it.") from None
    except ValueError as error:
        raise BenchError(f"{path} is not JSON ({error}): delete it and run again.") from None
    record: Record = _upgraded(content)
    for mistake in _validator(schema).iter_errors(record):
        where = ".".join(map(str, mistake.absolute_path)) or "the record"
        raise BenchError(
            f"{path} does not follow the {schema} schema, version {SCHEMA_VERSION}: at {where}, "
            f"{mistake.message}; delete it and run again."
        )
    return record


def settings_of(archive: layout.Archive) -> Record:
    """The settings of the run that wrote `archive`.

    Raises:
        BenchError: as `read_json` says.
    """
    config: Record = read_json(archive.settings, "settings")["config"]
    return config


def modes_of(config: Record) -> list[tuple[str, str]]:
    """The (device, name) of each mode of the settings `config`, in their order."""
    return [(device, mode["name"]) for device in config["devices"] for mode in config["modes"]]


def options_of(archive: layout.Archive) -> list[str]:
    """The options of the run that wrote `archive`, as `settings.options` returns them."""
    options: list[str] = read_json(archive.settings, "settings").get("options", [])
    return options


def _upgraded(record: Any) -> Any:
    """`record` of schema version 5 as one of the present version, which only adds to it.

    A record with names of version 0.1, which version 5 still had, stays as it is.
    """
    if not isinstance(record, dict) or record.get("schema_version") != 5:
        return record
    old = record.get("engine") == "invalid" or "fused" in record.get("options", {})
    return record if old else record | {"schema_version": SCHEMA_VERSION}


def begin_tables(folder: Path, columns: dict[str, list[str]]) -> None:
    """Writes the header lines of CSV files, under `layout.hidden` names until their job ends."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, header in columns.items():
        layout.hidden(folder / name).write_text(",".join(header) + "\n")


def end_tables(folder: Path, names: Iterable[str]) -> None:
    """Gives the CSV files of `begin_tables` their final names in `folder`."""
    for name in names:
        layout.hidden(folder / name).replace(folder / name)


def read_table(path: str | Path, columns: list[str]) -> "pd.DataFrame":
    """Reads a CSV file of raw data; latencies and durations become 64-bit integers.

    Errors of schema version 5 keep their columns.

    Raises:
        BenchError: the file is missing or broken, or has other columns.
    """
    import pandas as pd  # takes half a second, which planning need not wait for

    integers = {column: "int64" for column in columns if column in INTEGERS}
    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype=integers)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} cannot be read ({error}): run this timing again.") from None
    old = Path(path).name == layout.ERRORS and list(frame.columns) == OLD_ERRORS
    if list(frame.columns) != columns and not old:
        raise BenchError(f"{path} has the columns {list(frame.columns)}, not {columns}.")
    return frame


def read_detections(path: str | Path, key: str) -> "dict[Any, np.ndarray]":
    """Reads a CSV file of `DETECTION` rows: float32 [n, 6] by the value of the first column, `key`.

    A table without detections has no rows in the file, so its key is missing in the result.
    """
    frame = read_table(path, [key, *DETECTION])
    groups = frame.groupby(key, sort=False)
    return {value: rows[DETECTION].to_numpy("float32") for value, rows in groups}
