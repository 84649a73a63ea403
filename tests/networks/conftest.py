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
def exports(request, tmp_path_factory):
    """Makes and keeps exports: the model that has one, its record, and its check.

    If no model is given, of lite0, or of D0 by engines that have no INT8: one test needs rewritten
    D0's of all engines, and an export takes up to half a minute.
    """
    folder = tmp_path_factory.mktemp("exports")
    files, made = {}, {}

    def export(engine: str, precision: str = "fp32", rewritten: bool = True, model=None):
        large = rewritten and engine in ("executorch", "mnn")
        model = model or request.getfixturevalue("d0" if large else "lite0")
        if model.name not in files:
            files[model.name] = verified(model, folder)
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
