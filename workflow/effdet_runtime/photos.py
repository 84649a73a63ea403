"""From an encoded photo to the input of a network, with NumPy and Pillow.

As effdet's evaluation transform: an aspect-preserving bilinear resize into the top left corner,
mean colour elsewhere, then (x - mean) / std.
"""

import functools
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from effdet_runtime.errors import PhotoError, PhotoTooLargeError

# Pillow reads the header of these before it decodes a pixel; others could run programs, such as EPS
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MAX_PIXELS = 178_956_970  # what Pillow refuses: above that, a file is taken for a bomb
# what Pillow raises for damaged files
DAMAGED = (OSError, ValueError, SyntaxError, RuntimeError, NotImplementedError, TypeError)
# photos of 89 to 179 million pixels are allowed
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Input(NamedTuple):
    """The input of one network for a photo.

    `pixels` is float32 [1, 3, height, width], normalised. `scale` is the factor from pixels of the
    network's input to pixels of the photo. `size` is the photo's (width, height).
    """

    pixels: np.ndarray
    scale: np.float32
    size: tuple[int, int]


def decode(encoded: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The RGB image in `encoded`; an EXIF orientation is not applied, as in effdet and COCO.

    Raises:
        PhotoError: `encoded` is no complete photo in one of `FORMATS`, or has more than
            `max_pixels` pixels. The number of pixels is read before any pixel is decoded.
    """
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PhotoTooLargeError(f"the photo is too large ({error}): give a smaller one.") from None
    except UnidentifiedImageError:
        raise PhotoError(f"this is no photo in a known format: {', '.join(FORMATS)}.") from None
    except DAMAGED as error:
        raise _damaged(error) from None
    if image.width * image.height > max_pixels:
        raise PhotoTooLargeError(
            f"the photo has {image.width} x {image.height} pixels, but at most {max_pixels} "
            "are allowed: give a smaller photo."
        )
    return convert(image)


def convert(image: Image.Image) -> Image.Image:
    """`image` in RGB, after its pixels were decoded if they were not.

    Raises:
        PhotoError: the file of the image is damaged.
    """
    try:
        return image.convert("RGB")
    except DAMAGED as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> PhotoError:
    return PhotoError(f"the photo cannot be decoded ({error}): give a whole photo.")


def decode_file(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """`decode` of the file `path`.

    Raises:
        PhotoError: as `decode` says, or the file cannot be read.
    """
    try:
        return decode(path.read_bytes(), max_pixels)
    except OSError as error:
        raise PhotoError(f"{path} cannot be read ({error.strerror}): give another path.") from None


def prepare(
    image: Image.Image,
    input_size: tuple[int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Input:
    """Letterboxes `image` to `input_size` (height, width); `mean` and `std` are of RGB in [0, 1].

    Raises:
        PhotoError: the photo has no pixels, or is so thin that none would remain.
    """
    height, width = input_size
    if not image.width or not image.height:
        raise PhotoError("the photo has no pixels: give another one.")
    scale = min(height / image.height, width / image.width)
    wide, high = int(image.width * scale), int(image.height * scale)
    if not wide or not high:
        raise PhotoError(
            f"the photo of {image.width} x {image.height} pixels is too thin: crop it."
        )
    resized = image.resize((wide, high), Image.Resampling.BILINEAR)
    pixels = np.empty((1, 3, height, width), np.float32)
    # band by band, because NumPy is slow on the interleaved bytes of a whole image
    for band, channel, (shift, spread, padding) in zip(
        resized.split(), pixels[0], _normalisation(mean, std), strict=True
    ):
        inside = channel[:high, :wide]
        np.subtract(np.asarray(band), shift, out=inside)
        inside /= spread
        channel[high:] = padding
        channel[:high, wide:] = padding
    return Input(pixels, np.float32(1 / scale), image.size)


@functools.cache
def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> list[tuple[np.float32, np.float32, np.float32]]:
    """For each colour, what to subtract, what to divide by, and the normalised mean colour."""
    # times 255 in double precision, as in effdet: in fp32 the last bit would differ
    shifts = np.array([255 * value for value in mean], np.float32)
    spreads = np.array([255 * value for value in std], np.float32)
    colours = np.array([round(255 * value) for value in mean], np.float32)
    return list(zip(shifts, spreads, (colours - shifts) / spreads, strict=True))
