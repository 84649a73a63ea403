"""Chooses the file of each model's weights while Snakemake plans, so that a dry run shows it."""

import threading
from pathlib import Path
from typing import Any, NamedTuple

from effdet_bench import layout
from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.config.names import COCO_CLASSES
from effdet_bench.errors import BenchError, in_one_line
from effdet_bench.records import Record

PROBE_SECONDS = 1.5


class Source(NamedTuple):
    """Where one model's weights come from.

    `weights` is `release`, `file` (the user's own) or `synthetic`; `why` says in words why this
    source was chosen. `sha256` and `bytes` are those that the file must have, `None` if unknown.
    """

    model: str
    weights: str
    path: str
    sha256: str | None
    bytes: int | None
    why: str


def choose(config: dict[str, Any]) -> list[Source]:
    """The source of every model of the ensemble in a resolved `config`, in its order.

    Looks for files. Only if a file is missing and `weights` is `auto`, it contacts the mirror.

    Raises:
        BenchError: a file or folder that the user names does not exist, or the catalogue has no
            checkpoint of a model.
    """
    folder = config["weights_folder"]
    if folder and not Path(folder).is_dir():
        raise BenchError(f"config: weights_folder is {folder!r}, but there is no such folder.")
    if config["weights"] != "synthetic":
        _check_released(config["ensemble"])
    wanted = [entry["architecture"] for entry in config["ensemble"] if entry["file"] is None]
    absent = [name for name in wanted if name in RELEASE and not _local(name, config)]
    offline = bool(absent) and config["weights"] == "auto" and not reachable(config["mirror"])
    return [_source(entry, config, offline) for entry in config["ensemble"]]


def _check_released(ensemble: list[dict[str, Any]]) -> None:
    for entry in ensemble:
        name, classes = entry["architecture"], entry["classes"]
        if entry["file"] is None and (name not in RELEASE or classes != COCO_CLASSES):
            raise BenchError(
                f"config: no checkpoint of {name!r} for {classes} classes is in the catalogue "
                f"({', '.join(RELEASE)}, for {COCO_CLASSES} classes); write {{model: …, file: …, "
                "sha256: …} in ensemble, or set weights: synthetic."
            )


def reachable(address: str) -> bool:
    """Whether a server answers at `address`, through proxies too, within `PROBE_SECONDS`.

    Any answer counts. If the server refuses the file, the download shows that error to the user.
    A thread limits the time, because a socket's time-out does not limit the look-up of the name.

    Raises:
        BenchError: nothing can be asked, because the address or a proxy's is wrong.
    """
    answers = []
    mistakes = []

    def ask() -> None:
        import requests

        try:
            answers.append(requests.head(address, timeout=PROBE_SECONDS, allow_redirects=False))
        except (requests.ConnectionError, requests.Timeout):
            pass  # no answer
        except requests.RequestException as error:
            mistakes.append(in_one_line(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if mistakes:
        raise BenchError(
            f"config: {address} cannot be asked for weights ({mistakes[0]}): correct `mirror`, or "
            "the proxy that the environment names; or set weights: synthetic."
        )
    return bool(answers)


def _local(architecture: str, config: dict[str, Any]) -> Path | None:
    """The existing release file of `architecture`: in the user's folder, else in the project's."""
    folders = [Path(config["weights_folder"] or layout.CHECKPOINTS), layout.CHECKPOINTS]
    paths = [folder / RELEASE[architecture].file for folder in folders]
    return next((path for path in paths if path.exists()), None)


def _source(entry: Record, config: Record, offline: bool) -> Source:
    model = entry["model"]
    if entry["file"] is not None:
        if not Path(entry["file"]).is_file():
            raise BenchError(
                f"config: ensemble names the checkpoint {entry['file']!r} for {model}, but there "
                "is no such file."
            )
        why = "config.yaml names this file"
        return Source(model, "file", entry["file"], entry["sha256"], None, why)
    if config["weights"] == "synthetic":
        return _synthetic(model, config["seed"], "config.yaml asks for synthetic weights")
    local = _local(entry["architecture"], config)
    if local is None and offline:
        why = (
            f"the release file was not on this machine and {config['mirror']} could not be reached"
        )
        return _synthetic(model, config["seed"], why)
    release = RELEASE[entry["architecture"]]
    path = local or layout.CHECKPOINTS / release.file
    return Source(model, "release", str(path), release.sha256, release.bytes, "a verified file")


def _synthetic(model: str, seed: int, why: str) -> Source:
    path = layout.synthetic_checkpoint(model, seed)
    return Source(model, "synthetic", str(path), None, None, why)
