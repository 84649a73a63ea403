"""The class `Detector`: photos in, detections out."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from PIL import Image

from effdet_runtime.bundle import read_bundle
from effdet_runtime.errors import PhotoError
from effdet_runtime.photos import MAX_PIXELS, convert, decode, decode_file
from effdet_runtime.pipeline import Serves
from effdet_runtime.results import Result, result_of

Photo = bytes | str | Path | Image.Image | np.ndarray


class Detector:
    """Detects objects in photos, with all models of a bundle.

        with Detector("bundle/") as detect:
            result = detect("photo.jpg")

    A photo is one of: the bytes of an encoded photo; the path of a file; an image of Pillow; a
    uint8 array [height, width, 3] in RGB. A list of photos gives a list of results. An EXIF
    orientation is not applied.

    Threads may share a detector: it serves one photo at a time. It uses `threads` threads, by
    default as many as were measured, and refuses encoded photos of more than `max_pixels` pixels.

    Raises:
        BundleError: a file of the bundle is missing or has changed, or this machine or environment
            cannot run it.
    """

    def __init__(
        self, bundle: str | Path, threads: int | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        opened = read_bundle(Path(bundle))
        self._start(opened.open(threads), opened.names(), max_pixels)

    @classmethod
    def of(cls, pipeline: Serves, names: dict[int, str]) -> "Detector":
        """A detector that serves by `pipeline`; `names` of classes are by class id."""
        detector = cls.__new__(cls)
        detector._start(pipeline, names, MAX_PIXELS)
        return detector

    def _start(self, pipeline: Serves, names: dict[int, str], max_pixels: int) -> None:
        self.pipeline, self.names, self._max_pixels = pipeline, names, max_pixels
        self._lock = threading.Lock()

    @overload
    def __call__(self, photo: Photo) -> Result: ...

    @overload
    def __call__(self, photo: list[Any]) -> list[Result]: ...

    def __call__(self, photo: Photo | list[Any]) -> Result | list[Result]:
        """The detections in `photo`, or in each of a list of photos.

        Raises:
            PhotoError: a photo cannot be decoded, is too large, or is of another kind.
        """
        if isinstance(photo, list):
            return [self._detect(one) for one in photo]
        return self._detect(photo)

    def _detect(self, photo: Photo) -> Result:
        image = self.read(photo)
        with self._lock:
            tables = self.pipeline.answer(image)
        named = {
            model.name: table for model, table in zip(self.pipeline.models, tables, strict=True)
        }
        return result_of(image.size, named, self.names)

    def read(self, photo: Photo) -> Image.Image:
        """The image of `photo`, in RGB.

        Raises:
            PhotoError: `photo` cannot be decoded, is too large, or is of another kind.
        """
        if isinstance(photo, str | Path):
            return decode_file(Path(photo), self._max_pixels)
        if isinstance(photo, bytes):
            return decode(photo, self._max_pixels)
        if isinstance(photo, Image.Image):
            return convert(photo)
        is_array = isinstance(photo, np.ndarray) and photo.dtype == np.uint8 and photo.size > 0
        if is_array and photo.shape[2:] == (3,):
            return Image.fromarray(photo)
        raise PhotoError(
            f"a {type(photo).__name__} is no photo: give bytes, a path, an image of Pillow, or a "
            "uint8 array [height, width, 3] in RGB."
        )

    def close(self) -> None:
        """Ends the threads of the detector."""
        self.pipeline.close()

    def __enter__(self) -> "Detector":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
