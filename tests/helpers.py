"""Places and helpers that tests of all rooms use."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parents[1]
RESOURCES = ROOT / "workflow" / "effdet_bench" / "resources"
SHIPPED, CALIBRATION = RESOURCES / "photos", RESOURCES / "calibration"
EXAMPLES = ROOT / "examples"
UNSEEN = ROOT / "tests" / "photos"
BUNDLED = "openvino"  # the mode of the fixture `bundled`
OF_TESTS = ("OMP_NUM_THREADS", "GLIBC_TUNABLES")  # variables that conftest sets for itself alone


class Workspace:
    """A copy of the project, whose own package is the one that runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.package = path / "workflow" / "effdet_bench"
        self.results = path / "results" / "smoke"
        temporary = path / "tmp"
        temporary.mkdir(exist_ok=True)
        self.env = {
            **{key: value for key, value in os.environ.items() if key not in OF_TESTS},
            "PYTHONPATH": str(path / "workflow"),
            "TMPDIR": str(temporary),
            # tests that run side by side do not wait for each other's timings
            "EFFDET_BENCH_LOCK": str(temporary / "timing.lock"),
        }

    def copy(self, path: Path) -> "Workspace":
        """Another copy with all results; times of files are kept."""
        return Workspace(Path(shutil.copytree(self.path, path)))

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--configfile", "smoke.yaml", *args]

    def snakemake(self, *args: str, cores: int = 1) -> subprocess.CompletedProcess:
        """Runs Snakemake with smoke.yaml; stderr is merged into stdout."""
        return self._run(self.command("--cores", str(cores), *args))

    def effdet_bench(self, *args: str) -> subprocess.CompletedProcess:
        """Runs a command of effdet-bench; stderr is merged into stdout."""
        return self._run([sys.executable, "-m", "effdet_bench", *args])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess:
        return subprocess.run(
            command,
            cwd=self.path,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
        )

    def start(self, *args: str) -> subprocess.Popen:
        """Starts Snakemake with smoke.yaml, in a process group of its own, to be killed."""
        return subprocess.Popen(
            self.command("--cores", "1", *args),
            cwd=self.path,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # a shell that runs the tests in the background has Ctrl-C ignored, and all below it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def steps(self) -> list[psutil.Process]:
        """Living processes of steps that run in this folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if "effdet_bench" in process.cmdline() and Path(process.cwd()) == self.path:
                    found.append(process)
        return found

    def planned(self, *args: str) -> list[str]:
        """What Snakemake would run, one `rule output` per job, `all` and targets left out."""
        # by the logger of Snakemake itself, which shows every job
        done = self.snakemake("--dry-run", "--workflow-profile", "none", *args)
        assert done.returncode == 0, done.stdout
        jobs, rule = [], ""
        for line in done.stdout.splitlines():
            words = line.split()
            if line.startswith(("rule ", "localrule ")):
                rule = words[1].rstrip(":")
            elif words[:1] == ["output:"]:
                jobs.append(f"{rule} {words[1].rstrip(',')}")
        return sorted(jobs)

    def set(self, settings: str) -> None:
        """Puts the YAML `settings` into smoke.yaml, in place of those that are there."""
        path = self.path / "smoke.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | yaml.safe_load(settings)))

    def replace(self, module: str, code: str, other: str) -> None:
        """Puts `other` in place of `code` in a module of the package."""
        path = self.package / module
        text = path.read_text()
        assert code in text, module
        path.write_text(text.replace(code, other))

    def append(self, file: str, text: str) -> None:
        path = self.path / file
        path.write_text(path.read_text() + text)


def unlimited() -> dict[str, str]:
    """The environment without what says how many threads there are, or how they wait."""
    limits = {key for key in os.environ if key.startswith("OMP_") or key.endswith("_NUM_THREADS")}
    return {key: value for key, value in os.environ.items() if key not in limits}


def copy_project(path: Path) -> Workspace:
    """The project in `path`, nothing run yet."""
    path.mkdir(parents=True)
    for name in ("Snakefile", "config.yaml", "smoke.yaml"):
        shutil.copy2(ROOT / name, path / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("profiles", "workflow"):
        shutil.copytree(ROOT / name, path / name, ignore=ignore)
    made = Workspace(path)
    # what only makes figures steadier is left out: ceilings reached again, turns that last
    made.replace("roofline/ceilings.py", "SLOW_SECONDS = 0.3", "SLOW_SECONDS = 0.02")
    made.replace("roofline/ceilings.py", "RUN_SECONDS = 3, 0.3", "RUN_SECONDS = 1, 0.0")
    made.replace("timing/turns.py", "TURN_SECONDS = 0.2", "TURN_SECONDS = 0.01")
    # tests run side by side, where threads that wait for each other would wait for other tests too
    made.append("smoke.yaml", "threads: 1\n")
    return made


def synthetic_model(name: str, classes: int = 90, architecture: str | None = None):
    """A model with synthetic weights of seed 0, of the architecture `name` if no other is given."""
    import torch

    from effdet_bench.checkpoints.synthetic import synthesise
    from effdet_bench.detector.ensemble import build_model
    from effdet_bench.facts.photos import list_photos

    architecture = architecture or name
    model = build_model(architecture, classes, name)
    threads = torch.get_num_threads()
    entry = {"model": name, "architecture": architecture, "classes": classes}
    model.network.load_state_dict(synthesise(entry, list_photos(SHIPPED), seed=0))
    torch.set_num_threads(threads)
    return model


def verified(model, folder: Path) -> tuple[Path, Path]:
    """The record of `verify` of the weights of `model`, and their file, both made in `folder`."""
    import torch

    from effdet_bench.__main__ import main

    file, record = folder / f"{model.name}.pth", folder / f"{model.name}.verified.json"
    torch.save(model.network.state_dict(), file)
    entry = {"model": model.name, "architecture": model.config.name, "classes": 90}
    entry |= {"weights": "file", "why": "a test", "sha256": None, "bytes": None}
    given = ["--ensemble", json.dumps([entry]), "--files", str(file), "--outputs", str(record)]
    main(["verify", *given])
    return record, file


def make_references(models: list, folder: Path, first: int = 8) -> list[Path]:
    """The records of the step `reference` for `models` and the `first` shipped photos."""
    import torch

    from effdet_bench.__main__ import main

    photos = str(folder / "photos.json")
    main(["photos", "--folder", str(SHIPPED), "--output", photos])
    made = [verified(model, folder) for model in models]
    given = ["--records", *(str(record) for record, _ in made)]
    given += ["--checkpoints", *(str(file) for _, file in made), "--photos", photos]
    given += [
        "--folder",
        str(SHIPPED),
        "--first",
        str(first),
        "--threads",
        str(torch.get_num_threads()),
    ]
    main(["reference", *given, "--output", str(folder)])
    return [folder / f"{model.name}.json" for model in models]


def annotated() -> tuple[dict, dict]:
    """The shipped photos' annotations, and detections [n, 6] by image id that are exactly those."""
    import numpy as np

    from effdet_bench.reference.annotations import select_annotations

    photos = sorted(path.name for path in SHIPPED.glob("*.jpg"))
    known = select_annotations(UNSEEN / "instances.json", photos)
    tables = {image["id"]: [] for image in known["images"]}
    for truth in known["annotations"]:
        if not truth["iscrowd"]:
            x, y, width, height = truth["bbox"]
            row = [x, y, x + width, y + height, 0.9, truth["category_id"]]
            tables[truth["image_id"]].append(row)
    return known, {
        image: np.array(rows, np.float32).reshape(-1, 6) for image, rows in tables.items()
    }


def many_annotated(photos: int, seed: int = 0) -> tuple[dict, dict]:
    """Annotations of `photos` made-up photos, and detections [n, 6] by image id.

    Objects of five classes are small, medium and large. A detector finds four of five, some with
    scores near nothing, and takes some places for objects that are none.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    images = [{"id": n, "file_name": f"{n:06}.jpg"} for n in range(photos)]
    known = {"images": images, "categories": [{"id": n} for n in range(1, 6)], "annotations": []}
    tables = {}
    for image in range(photos):
        rows = []
        for _ in range(generator.integers(0, 6)):
            side = float(generator.choice([20, 60, 200]) * generator.uniform(0.7, 1.3))
            x, y, kind = *generator.uniform(0, 400, 2).tolist(), int(generator.integers(1, 6))
            truth = {"image_id": image, "category_id": kind, "iscrowd": 0, "area": side**2}
            truth |= {"id": len(known["annotations"]) + 1, "bbox": [x, y, side, side]}
            known["annotations"].append(truth)
            if generator.random() < 0.8:
                drift = side * generator.normal(0, 0.05, 4)
                corners = np.array([x, y, x + side, y + side]) + drift
                rows.append([*corners, generator.beta(1, 2), kind])
        for _ in range(generator.integers(0, 6)):
            x, y, side = generator.uniform(0, 400), generator.uniform(0, 400), 60
            kind = generator.integers(1, 6)
            rows.append([x, y, x + side, y + side, generator.beta(1, 8), kind])
        tables[image] = np.array(rows, np.float32).reshape(-1, 6)
    return known, tables
