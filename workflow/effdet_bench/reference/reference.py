"""Computes the reference, by which every mode is judged: upstream effdet in fp32 on the CPU.

Photos pass through effdet's own evaluation transform and `DetBenchPredict`, not through the timed
code. The step runs again only when the ensemble, a checkpoint or the photos change.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from effdet import DetBenchPredict
from effdet.data.transforms import transforms_coco_eval
from PIL import Image

from effdet_bench import layout, records
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.detector.ensemble import Model, load_model
from effdet_bench.detector.nms import Outputs
from effdet_bench.detector.request import ModelInput
from effdet_bench.errors import BenchError
from effdet_bench.facts.versions import versions
from effdet_bench.records import Record
from effdet_bench.reference.anchors import Sampled, sample_outputs
from effdet_bench.reference.outputs import level_shapes, sample_input


def upstream_input(model: Model, encoded: bytes) -> ModelInput:
    """The input that effdet's evaluation transform and PrefetchLoader make of a JPEG file.

    Raises:
        BenchError: the photo is too narrow for the model.
    """
    transform = transforms_coco_eval(
        model.image_size, use_prefetcher=True, mean=model.mean, std=model.std
    )
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    try:
        array, target = transform(image, {})
    except ValueError as error:
        raise BenchError(
            f"the photo cannot be an input of {model.name} ({error}): it is so narrow that scaling "
            "leaves no pixel on one side; remove it from the folder."
        ) from None
    mean, std = (
        torch.tensor([value * 255 for value in values]).view(1, 3, 1, 1)
        for values in (model.mean, model.std)
    )
    pixels = torch.from_numpy(array)[None].float().sub_(mean).div_(std)
    size = torch.tensor([image.size], dtype=torch.float32)
    return ModelInput(pixels, torch.tensor([target["img_scale"]]), size)


def upstream_answer(model: Model, given: ModelInput) -> tuple[np.ndarray, Outputs]:
    """Detections float32 [detections, 6] of `DetBenchPredict`, and the outputs of its network."""
    bench = DetBenchPredict(model.network).eval()
    kept: list[Outputs] = []
    hook = bench.model.register_forward_hook(lambda _, __, outputs: kept.append(outputs))
    try:
        with torch.inference_mode():
            photo = {"img_scale": given.scale, "img_size": given.size}
            table = bench(given.pixels, photo)[0].numpy()
    finally:
        hook.remove()
    return table, kept[0]


def write_reference(
    model: Model, sha256: str, photos: list[Record], folder: Path, path: Path
) -> None:
    """Computes the reference of `model` for `photos` (file, sha256) in `folder`.

    Writes the record `path`, and beside it detections as .csv and samples of inputs and outputs.

    Raises:
        BenchError: a photo is too narrow for the model.
    """
    inputs, samples, frames = [], [], []
    pools = Sampled(model.levels).pools
    for photo in photos:
        try:
            given = upstream_input(model, (folder / photo["file"]).read_bytes())
        except BenchError as error:
            raise BenchError(f"{photo['file']}: {error}") from None
        inputs.append(sample_input(given).numpy())
        table, outputs = upstream_answer(model, given)
        samples.append(sample_outputs(outputs, pools).numpy())
        frame = pd.DataFrame(table[table[:, 4] > 0], columns=records.DETECTION)
        frames.append(frame.assign(photo=photo["file"]))
    _write_array(layout.reference_inputs(path), inputs)
    _write_array(layout.reference_outputs(path), samples)
    rows = pd.concat(frames)[["photo", *records.DETECTION]]
    records.write_text(layout.reference_detections(path), rows.to_csv(index=False))
    record = {
        "model": model.name,
        "sha256": sha256,
        "photos": [{key: photo[key] for key in ("file", "sha256")} for photo in photos],
        "shapes": level_shapes(outputs),
        "anchors_per_cell": model.anchors_per_cell,
        "anchors_compared": samples[0].shape[0],
        "rows": table.shape[0],
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    records.write_json(path, record, "reference")


def _write_array(path: Path, rows: list[np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.stack(rows))
    records.write_bytes(path, buffer.getvalue())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", nargs="+", required=True, help="records of `verify`")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="files, in that order")
    parser.add_argument("--photos", required=True, help="record of `photos`")
    parser.add_argument("--folder", required=True, help="folder of the photos")
    parser.add_argument("--first", type=int, required=True, help="use only so many, the first")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", required=True, help="folder for a record of each model")


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    photos = records.read_json(args.photos, "photos")["photos"][: args.first]
    for path, checkpoint in zip(args.records, args.checkpoints, strict=True):
        verified = records.read_json(path, "checkpoint")
        data = check_file(checkpoint, verified["sha256"])
        model = load_model(verified, data, checkpoint)
        output = Path(args.output) / f"{model.name}.json"
        write_reference(model, verified["sha256"], photos, Path(args.folder), output)
