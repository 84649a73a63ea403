"""Paths of all files: in an archive `results/<machine>/`, beside the archives, in the package.

Only this module spells out these paths. It reads no file. Some methods of `Archive` list folders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# files of the package
PACKAGE = Path(__file__).parent
SCHEMAS = PACKAGE / "schemas"
TEMPLATES = PACKAGE / "templates"
BUNDLE_TEMPLATES = TEMPLATES / "bundle"
MODES = PACKAGE / "modes.yaml"
TOLERANCES = SCHEMAS / "tolerances.yaml"
TOLERANCES_5 = SCHEMAS / "tolerances-5.yaml"  # for archives of schema version 5
SHIPPED_PHOTOS = PACKAGE / "resources" / "photos"
CALIBRATION_PHOTOS = PACKAGE / "resources" / "calibration"
COCO_NAMES = (
    PACKAGE / "resources" / "coco_classes.txt"
)  # by class id from 1, "-" where there is none
PUBLISHED_LATENCIES = PACKAGE / "resources" / "published" / "latency.yaml"

# the workflow: inside the package where pip installed it, around the package in a checkout
INSTALLED = PACKAGE / "project"
WORKFLOW = INSTALLED if INSTALLED.is_dir() else PACKAGE.parents[1]

# where a run writes, relative to its folder
RESULTS = Path("results")
CHECKPOINTS = Path("checkpoints")
EXPORTS = Path("export")
PACKED = Path("archives")
BUNDLES = Path("bundles")
CLUSTER = Path("cluster")
KEPT = Path(".snakemake")  # where Snakemake keeps its own records of a folder

# files of a timing job
JOB_RECORD = "job.json"
REQUESTS, STAGES, OUTPUTS, ERRORS, DETECTIONS = (
    "requests.csv",
    "stages.csv",
    "outputs.csv",
    "errors.csv",
    "detections.csv",
)

# files of a mode under load
LOAD_RECORD, LOADED = "load.json", "load.csv"
ANSWERS, ANSWER_FILES = "answers", (OUTPUTS, ERRORS, DETECTIONS)
PASS_RECORD, ACCURACY = "pass.json", "accuracy.json"  # of an accuracy pass
PARTS = ".parts-"  # begins the name of the folder where a pass keeps its answers until it ends
LOADGEN = "loadgen"  # folder of LoadGen's logs, one folder for each pass


def _round_number(folder: Path) -> int:
    """The number of the round in `folder`; 0 for a copy that a user set aside, as `round-1.old`."""
    number = folder.name.removeprefix("round-")
    return int(number) if number.isdecimal() else 0


def node_record(machine_type: str) -> Path:
    """The record of the node on which a machine type was timed, in the folder of its run."""
    return CLUSTER / machine_type / "node.json"


def node_log(machine_type: str) -> Path:
    return CLUSTER / "logs" / f"{machine_type}.log"


def synthetic_checkpoint(model: str, seed: int | str) -> Path:
    return CHECKPOINTS / "synthetic" / f"{model}-seed{seed}.pth"


def checkpoint_record(model: str, weights: str) -> Path:
    """The record of the step `verify`; `weights` is `release`, `file` or `synthetic`."""
    return CHECKPOINTS / "verified" / f"{model}.{weights}.json"


def export_record(export: str, model: str, weights: str) -> Path:
    """The record of the step `export`; the exported files are in `export_folder` of it."""
    return EXPORTS / export / f"{model}.{weights}.json"


def export_check(record: str | Path) -> Path:
    """The record of the step `check_export`, for the export with the record `record`."""
    return Path(record).with_suffix(".check.json")


def export_folder(record: str | Path) -> Path:
    """The folder of the files of the export with the record `record`."""
    return Path(record).with_suffix("")


def reference_detections(record: str | Path) -> Path:
    """Upstream's detections, beside the `record` of a reference."""
    return Path(record).with_suffix(".csv")


def reference_outputs(record: str | Path) -> Path:
    """A sample of upstream's network outputs, beside the `record` of a reference."""
    return Path(record).with_suffix(".npy")


def reference_inputs(record: str | Path) -> Path:
    """A sample of the inputs of upstream's network, beside the `record` of a reference."""
    return Path(record).with_suffix(".inputs.npy")


def reference_rounding(record: str | Path) -> Path:
    """The record of what rounding does to upstream's network, beside a reference's `record`."""
    return Path(record).with_suffix(".rounding.json")


def rounding_table(record: str | Path) -> Path:
    """The errors of rounding by photo, beside the `record` of `reference_rounding`."""
    return Path(record).with_suffix(".csv")


def unseen_reference(folder: Path, model: str) -> Path:
    """The record of a model's reference for the unseen photo of a round, in `folder`."""
    return folder / f"{model}.json"


def pass_table(folder: Path, model: str) -> Path:
    """The detections of a model in the accuracy pass in `folder`."""
    return folder / f"{model}.csv.gz"


def hidden(path: Path) -> Path:
    """The hidden name of a file of raw data while its job still writes it."""
    return path.with_name(f".{path.name}")


@dataclass(frozen=True)
class Archive:
    """The files of one machine's results, in the folder `root`: `results/<machine>/`."""

    root: Path

    @property
    def environment(self) -> Path:
        return self.root / "environment.json"

    @property
    def photos(self) -> Path:
        return self.root / "photos.json"

    @property
    def thumbnails(self) -> Path:
        """Folder of small copies of the first photos."""
        return self.root / "photos"

    @property
    def annotations(self) -> Path:
        return self.root / "annotations.json"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def timing(self) -> Path:
        return self.root / "timing"

    def mode(self, device: str, mode: str) -> Path:
        """The folder of all rounds of a mode on a device."""
        return self.timing / device / mode

    def job(self, device: str, mode: str, round_number: int | str) -> Path:
        """The folder of one timing job: one mode in one round on one device."""
        return self.mode(device, mode) / f"round-{round_number}"

    def rounds(self, device: str, mode: str) -> list[int]:
        """Numbers of the rounds of a mode that have a folder, in ascending order."""
        return sorted(filter(None, map(_round_number, self.mode(device, mode).glob("round-*"))))

    def standings(self, device: str, round_number: int) -> Path:
        """Where the modes of a device stood after a round of a run."""
        return self.logs / "standings" / f"{device}-round-{round_number}.txt"

    def last_round(self, device: str) -> int:
        """The largest number of a round on `device` of which a mode has a record; 0 for none."""
        records = self.timing.glob(f"{device}/*/round-*/{JOB_RECORD}")
        return max((_round_number(path.parent) for path in records), default=0)

    def modes(self) -> list[tuple[str, str]]:
        """(device, mode) of every mode that has a folder of timing jobs, by name."""
        return sorted((path.parent.name, path.name) for path in self.timing.glob("*/*"))

    def job_records(self) -> Iterator[Path]:
        """The records of all timing jobs in the archive."""
        records = self.timing.glob(f"*/*/round-*/{JOB_RECORD}")
        return iter(sorted(path for path in records if _round_number(path.parent)))

    def load(self, device: str, mode: str) -> Path:
        """The folder of a mode under load."""
        return self.root / "load" / device / mode

    def load_records(self) -> Iterator[Path]:
        """The records of all modes under load in the archive."""
        return iter(sorted(self.root.glob(f"load/*/*/{LOAD_RECORD}")))

    def accuracy_pass(self, device: str, mode: str) -> Path:
        """The folder of a mode's accuracy pass."""
        return self.root / "accuracy" / device / mode

    def pass_records(self) -> Iterator[Path]:
        """The records of all accuracy passes of modes in the archive."""
        return iter(sorted(self.root.glob(f"accuracy/*/*/{PASS_RECORD}")))

    @property
    def reference_pass(self) -> Path:
        """The folder of the reference's detections on all photos."""
        return self.root / "accuracy" / "reference"

    @property
    def different_photos(self) -> Path:
        """Folder of small copies of the photos on which modes differ most from the reference."""
        return self.root / "accuracy" / "photos"

    @property
    def capacities(self) -> Path:
        """The record of the capacities, which the step of that name computes of `load_records`."""
        return self.root / "capacities.json"

    def reference(self, model: str) -> Path:
        return self.root / "reference" / f"{model}.json"

    def validity(self, device: str, mode: str) -> Path:
        return self.root / "validity" / device / f"{mode}.json"

    def roofline(self, device: str) -> Path:
        return self.root / "roofline" / f"{device}.json"

    def judged_modes(self) -> list[tuple[str, str]]:
        """(device, mode) of every judgement in the archive, by name."""
        paths = sorted((self.root / "validity").glob("*/*.json"))
        return [(path.parent.name, path.stem) for path in paths]

    def bounded_devices(self) -> list[str]:
        """Devices that have a record of ceilings in the archive, by name."""
        return sorted(path.stem for path in (self.root / "roofline").glob("*.json"))

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def summary_table(self) -> Path:
        return self.root / "summary.csv"

    @property
    def figures(self) -> Path:
        return self.root / "figures"

    def pictured(self, model: str) -> Path:
        """The figure of a model's detections on photos."""
        return self.figures / f"detections-{model}.svg"

    def differences(self, device: str, mode: str) -> Path:
        """The figure of the photos on which a mode differs most from the reference."""
        return self.figures / f"differences-{device}-{mode}.svg"

    @property
    def report(self) -> Path:
        return self.root / "report.md"

    @property
    def details(self) -> Path:
        return self.root / "details.md"

    @property
    def report_page(self) -> Path:
        return self.root / "report.html"

    @property
    def manifest(self) -> Path:
        return self.root / "MANIFEST.sha256"

    @property
    def logs(self) -> Path:
        return self.root / "logs"
