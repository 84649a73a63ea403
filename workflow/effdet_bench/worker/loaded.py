"""A mode that is loaded in this process, with its photos and the references of its answers."""

import hashlib
import time
from pathlib import Path

import torch

from effdet_bench import layout
from effdet_bench.detector.devices import open_device
from effdet_bench.detector.request import Served
from effdet_bench.engines.base import check_threads
from effdet_bench.engines.contract import checked
from effdet_bench.engines.loading import load_engine
from effdet_bench.facts.photos import list_photos
from effdet_bench.reference.outputs import Reference, check_reference, read_reference
from effdet_bench.validity.checks import Checks
from effdet_bench.worker.networks import Networks, load_networks
from effdet_bench.worker.spec import JobSpec, ModelFiles


class LoadedMode:
    """The engine of `spec`, ready to serve.

    `serving` serves requests. Until `was_checked` is called, after the first request, it also
    checks what `forward` returns.
    `photos` and `unseen` are names and contents of files. `checks` has the `Checks` of each model,
    by name. `load_seconds` is the time before the first request, without imports.

    Raises:
        UnavailableError: this machine lacks the device or what the engine needs.
        BenchError: a checkpoint is not the verified one, a reference is of another checkpoint or
            photo, or torch does not use `spec.threads` threads.
    """

    def __init__(self, spec: JobSpec, networks: Networks | None = None) -> None:
        begin = time.monotonic()
        torch.set_num_threads(spec.threads)
        check_threads("torch", torch.get_num_threads(), spec.threads)
        self.device = open_device(spec.device)
        networks = networks or load_networks(spec.models)
        models = [networks.model(files) for files in spec.models]
        self.engine = load_engine(spec.engine, models, self.device, spec.options)
        self.serving: Served = checked(self.engine, spec.engine)
        read = sum(networks.seconds[f.record["model"]] for f in spec.models if not f.export)
        self.load_seconds = round(time.monotonic() - begin + read, 3)
        self.photos = _read([Path(path) for path in spec.photos])
        self.unseen = _read(list_photos(spec.unseen)) if spec.unseen else []
        photos, unseen = _digests(self.photos), _digests(self.unseen)
        self.checks = {
            model.name: Checks(
                model, _references(spec, files, photos, unseen), spec.round, len(models)
            )
            for files, model in zip(spec.models, models, strict=True)
        }

    def was_checked(self) -> None:
        self.serving = self.engine


def _read(paths: list[Path]) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in paths]


def _digests(photos: list[tuple[str, bytes]]) -> dict[str, str]:
    return {name: hashlib.sha256(encoded).hexdigest() for name, encoded in photos}


def _references(
    spec: JobSpec, files: ModelFiles, photos: dict[str, str], unseen: dict[str, str]
) -> list[Reference]:
    """The references of a model's answers, checked to be of its checkpoint and of these photos."""
    sources = [(Path(files.reference), photos)]
    if spec.unseen:
        sources.append((layout.unseen_reference(spec.unseen, files.record["model"]), unseen))
    references = []
    for record, known in sources:
        references.append(read_reference(record))
        check_reference(references[-1], files.record["sha256"], known)
    return references
