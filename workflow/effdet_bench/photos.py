"""The encoded photographs that requests carry."""

from pathlib import Path

from PIL import Image

from effdet_bench.errors import BenchError

SUFFIXES = {".jpg", ".jpeg"}


def list_photos(folder: str | Path) -> list[Path]:
    """The JPEG files of `folder`, by name: the order in which requests carry them.

    Raises:
        BenchError: there is no such folder, or no JPEG file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BenchError(f"config: photos is {str(folder)!r}, but there is no such folder.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise BenchError(f"config: photos is {str(folder)!r}, a folder without any JPEG file.")
    return found


def check_photos(paths: list[Path]) -> None:
    """Decodes every photo once.

    Raises:
        BenchError: one cannot be decoded; the text names it.
    """
    for path in paths:
        try:
            with Image.open(path) as image:
                encoding = image.format
                image.load()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BenchError(
                f"{path} is broken and cannot be decoded ({error}): repair or remove it."
            ) from None
        if encoding != "JPEG":
            raise BenchError(f"{path} is {encoding}, not JPEG: convert or remove it.")
