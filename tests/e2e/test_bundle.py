"""From a finished run to a deployment: the bundle of a mode, bundle, without PyTorch."""

import csv
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effdet_runtime import Detector, PhotoError
from effdet_runtime import bundle as format_of
from helpers import BUNDLED, SHIPPED, Workspace

NO_TORCH = """
import sys
from effdet_runtime import Detector
with Detector(sys.argv[1]) as detect:
    result = detect([sys.argv[2], open(sys.argv[2], "rb").read()])
print(len(result[0].models["tf_efficientdet_lite0"]), result[0].to_coco(1) == result[1].to_coco(1))
print({"torch", "effdet", "effdet_bench", "snakemake", "pandas"} & set(sys.modules))
"""


def runtime(bundle: Path, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """A Python with the packages of this one, but with the runtime of `bundle`."""
    return subprocess.run(
        [sys.executable, *args],
        env={**os.environ, "PYTHONPATH": str(bundle)},
        cwd=cwd or bundle.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_the_mode_that_is_bundled_records_what_its_exports_took(bundled):
    exports = (bundled.path / "export").glob("*/*.synthetic.json")
    (seconds,) = [json.loads(path.read_text())["seconds"] for path in exports]
    (job,) = (bundled.results / "timing" / "cpu" / BUNDLED).glob("round-*/job.json")
    assert json.loads(job.read_text())["export_seconds"] == seconds > 0


def test_a_bundle_says_what_it_is(bundle):
    record = json.loads((bundle / "bundle.json").read_text())
    assert (record["mode"], record["library"], record["precision"]) == (BUNDLED, "openvino", "fp32")
    assert record["measured"]["machine"] == "smoke"
    assert record["measured"]["p50_ms"] > 0
    assert record["class_names"]["1"] == "person"
    pinned = (bundle / "requirements.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in pinned] == [
        "numpy", "openvino", "openvino-telemetry", "pillow",
    ]  # fmt: skip
    photos = json.loads((bundle / "expected.json").read_text())
    assert len(photos) == 2
    assert {path.name for path in (bundle / "photos").iterdir()} == {*photos, "CREDITS.md"}
    assert "installs 4 packages, no PyTorch" in (bundle / "README.md").read_text()
    checked = subprocess.run(["sha256sum", "-c", "MANIFEST.sha256"], cwd=bundle)
    assert checked.returncode == 0


def test_it_is_installed_and_verified_as_its_readme_says(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=copy, check=True)
    subprocess.run([".venv/bin/pip", "install", "-q", "."], cwd=copy, check=True)
    done = subprocess.run(
        [copy / ".venv/bin/effdet-runtime", "verify", copy],
        cwd="/",
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("100% as expected") == 2
    assert "ms at the median of 20 requests" in done.stdout
    size = sum(path.stat().st_size for path in (copy / ".venv").rglob("*") if path.is_file())
    assert size < 350e6


def test_it_serves_without_pytorch(bundle):
    photo = next((bundle / "photos").glob("*.jpg"))
    done = runtime(bundle, "-c", NO_TORCH, str(bundle), str(photo))
    assert done.stdout.splitlines() == ["100 True", "set()"]


def test_every_kind_of_photo_gives_the_same_result(bundle):
    path = min((bundle / "photos").glob("*.jpg"))
    image = Image.open(path)
    kinds = [path, str(path), path.read_bytes(), image, np.asarray(image.convert("RGB"))]
    with Detector(bundle) as detect, ThreadPoolExecutor(5) as threads:
        results = list(threads.map(detect, kinds))
        for wrong in (None, 7, np.zeros((5, 5)), np.zeros((5, 5, 4), np.uint8), "nowhere.jpg"):
            with pytest.raises(PhotoError, match=r"is no photo|cannot be read"):
                detect(wrong)
        with pytest.raises(PhotoError, match="has no pixels"):
            detect(Image.new("RGB", (0, 5)))
        assert detect([]) == []
    expected = results[0].to_coco(1)
    assert len(expected) == 100
    assert all(result.to_coco(1) == expected for result in results)


@pytest.mark.parametrize(
    "file",
    [
        "bundle.json",
        "expected.json",
        "requirements.txt",
        "networks/tf_efficientdet_lite0/model.bin",
        "networks/tf_efficientdet_lite0/anchors.npy",
        "effdet_runtime/boxes.py",
        "MANIFEST.sha256",
    ],
)
def test_a_changed_byte_is_refused_and_its_file_named(bundle, tmp_path, file):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    done = runtime(bundle, "-m", "effdet_runtime", "verify", str(copy))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    assert "copy the bundle again" in lines[0]
    assert file == "MANIFEST.sha256" or str(copy / file) in lines[0]


def test_what_is_missing_or_no_bundle_is_named(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    (copy / "expected.json").unlink()
    for folder, words in ((copy, "expected.json is missing"), (tmp_path, "is no bundle")):
        done = runtime(bundle, "-m", "effdet_runtime", "verify", str(folder))
        assert done.returncode == 1
        assert words in done.stdout


def test_wrong_detections_are_told(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    expected = json.loads((copy / "expected.json").read_text())
    for tables in expected.values():
        for rows in tables.values():
            for row in rows:
                row[5] = row[5] % 90 + 1
    (copy / "expected.json").write_text(json.dumps(expected))
    format_of.write_manifest(copy)
    done = runtime(bundle, "-m", "effdet_runtime", "verify", str(copy))
    assert done.returncode == 1
    assert "but must find 100%" in done.stdout


def test_photos_of_ones_own_become_json_csv_and_pictures(bundle, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted(SHIPPED.glob("*.jpg"))[:2]:
        shutil.copy(path, photos)
    Image.new("L", (30, 20)).save(photos / "grey.jpg")
    Image.new("CMYK", (30, 20)).save(photos / "print.jpg")
    (photos / "broken.jpg").write_bytes(b"no photo")
    command = ["-m", "effdet_runtime", "detect", str(photos), "--bundle", str(bundle)]
    done = runtime(bundle, *command, "--draw", "drawn", cwd=tmp_path)
    assert done.returncode == 1
    assert "broken.jpg: this is no photo in a known format" in done.stdout
    assert "1 of 5 photos could not be read or drawn" in done.stdout
    rows = json.loads((tmp_path / "detections.json").read_text())
    assert len({row["file_name"] for row in rows}) == 4
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert len(drawn) == 4
    assert Image.open(drawn[0]).size == Image.open(photos / drawn[0].name).size

    (photos / "broken.jpg").unlink()
    command += ["--output", "found.csv", "--merge", "--min-score", "0.5"]
    done = runtime(bundle, *command, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    with (tmp_path / "found.csv").open() as file:
        found = list(csv.DictReader(file))
    assert {row["model"] for row in found} == {"merged"}
    assert min(float(row["score"]) for row in found) >= 0.5


def test_what_cannot_be_drawn_costs_no_detections_and_no_photo(bundle, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(min(SHIPPED.glob("*.jpg")), photos / "b.jpg")
    Image.new("1", (70000, 250)).save(photos / "a.png")  # a JPEG has 65,500 pixels a side
    before = {path: path.read_bytes() for path in photos.iterdir()}
    command = ["-m", "effdet_runtime", "detect", str(photos), "--bundle", str(bundle), "--draw"]
    done = runtime(bundle, *command, str(tmp_path / "photos"), cwd=tmp_path)
    assert done.returncode == 1
    assert f"pictures in {photos} could replace photos" in done.stdout
    done = runtime(bundle, *command, "drawn", cwd=tmp_path)
    assert done.returncode == 1
    assert "the picture drawn/a.jpg cannot be written" in done.stdout
    assert "1 of 2 photos could not be read or drawn" in done.stdout
    rows = json.loads((tmp_path / "detections.json").read_text())
    assert {row["file_name"] for row in rows} >= {"b.jpg"}
    assert {path.name for path in (tmp_path / "drawn").iterdir()} >= {"b.jpg"}
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


@pytest.fixture(scope="module")
def own(bundled, tmp_path_factory) -> Workspace:
    """A copy in which these tests may write, because tests of other files copy `bundled`."""
    return bundled.copy(tmp_path_factory.mktemp("own") / "project")


@pytest.mark.parametrize("mode", ["openvin", "no-network"])
def test_a_mode_that_cannot_be_bundled_is_told(own, mode):
    done = own.snakemake("bundle", "--config", f"bundle={mode}")
    assert done.returncode == 1
    assert f"'{mode}' cannot be bundled, because it is no valid mode of this run" in done.stdout
    assert "add it to `modes`, or choose one of " in done.stdout


def test_a_mode_of_pytorch_brings_pytorch(own, tmp_path):
    done = own.snakemake("bundle", "--config", "bundle=baseline")
    assert done.returncode == 0, done.stdout
    copy = shutil.copytree(own.path / "bundles" / "smoke-baseline", tmp_path / "bundle")
    pinned = {line.split("==")[0] for line in (copy / "requirements.txt").read_text().split()}
    assert {"torch", "effdet", "timm", "numpy", "pillow"} < pinned
    assert not {"snakemake", "pandas", "matplotlib", "openvino"} & pinned
    done = runtime(copy, "-m", "effdet_runtime", "verify", str(copy))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("100% as expected") == 2
    # by the code of the bundle, which needs neither Snakemake nor the rest of the benchmark
    code = (
        "import sys, effdet_bench; from effdet_runtime import Detector; Detector(sys.argv[1]); "
        "print(effdet_bench.__file__, {'snakemake', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    done = runtime(copy, "-c", code, str(copy))
    assert done.stdout.split() == [str(copy / "effdet_bench" / "__init__.py"), "set()"]


def test_a_mode_of_a_working_copy_is_opened_by_its_name(own):
    code = (
        "import sys, effdet_bench;"
        "detect = effdet_bench.open_mode(sys.argv[1], settings='smoke.yaml');"
        "print(len(detect(sys.argv[2]).models['tf_efficientdet_lite0']))"
    )
    photo = str(min(SHIPPED.glob("*.jpg")))
    for mode in ("baseline", "openvino"):
        done = runtime(own.path / "workflow", "-c", code, mode, photo, cwd=own.path)
        assert done.stdout.split() == ["100"]
    (own.path / "bad.yaml").write_bytes(b"\xff")
    for file in ("no.yaml", "bad.yaml"):
        wrong = code.replace("smoke.yaml", file)
        done = runtime(own.path / "workflow", "-c", wrong, "x", photo, cwd=own.path)
        assert f"{file} cannot be read" in done.stdout
    untimed = "is missing: first time the mode 'onnxruntime' in this folder"
    for mode, words in (("fusd", "did you mean 'fused'"), ("onnxruntime", untimed)):
        done = runtime(own.path / "workflow", "-c", code, mode, photo, cwd=own.path)
        assert words in done.stdout
