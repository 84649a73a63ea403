"""Fixtures of tests that build networks."""

import dataclasses
from pathlib import Path

import pytest

from effdet_bench import records
from effdet_bench.export.check import ExportCheck
from effdet_bench.export.export import Exporter, ExportSpec
from helpers import CALIBRATION, make_references, verified


@pytest.fixture(scope="session")
def lite0_files(lite0, tmp_path_factory) -> Path:
    """A folder with the verified checkpoint of lite0, and its reference."""
    folder = tmp_path_factory.mktemp("lite0")
    make_references([lite0], folder)
    return folder


@pytest.fixture(scope="session")
def exports(lite0, d0, tmp_path_factory):
    """Makes and keeps exports: the model that has one, its record, and its check.

    Of lite0 if no other model is given, of D0 by engines that need no lite0 for their INT8: one
    test needs D0's of all, and an export takes up to half a minute.
    """
    folder = tmp_path_factory.mktemp("exports")
    files = {model.name: verified(model, folder) for model in (lite0, d0)}
    made = {}

    def export(engine: str, precision: str = "fp32", rewritten: bool = True, model=None):
        model = model or (d0 if engine in ("executorch", "mnn") else lite0)
        key = engine, precision, rewritten, model.name
        if key not in made:
            record, file = files[model.name]
            spec = ExportSpec(
                engine=engine,
                device="cpu",
                options={"precision": precision, "rewritten": rewritten},
                checkpoint=records.read_json(record, "checkpoint"),
                file=str(file),
                photos=str(CALIBRATION),
                record=str(folder / f"{'-'.join(map(str, key))}.json"),
            )
            exported = Exporter(spec).export()
            one = dataclasses.replace(model, export=spec.folder)
            made[key] = one, exported | ExportCheck(spec).check(), spec
        return made[key]

    return export
