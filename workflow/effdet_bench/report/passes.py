"""What the section on accuracy shows of the passes over all photos."""

from typing import NamedTuple

from effdet_bench import layout, records
from effdet_bench.accuracy.kept import accuracy_folders
from effdet_bench.layout import Archive


class PassView(NamedTuple):
    """The accuracy pass of the mode `name`.

    `reason` says why it did not complete, if so. `differs` says whether it differs from the
    reference on any photo, as the drawing `figure` shows.
    """

    name: str
    reason: str | None
    differs: bool
    figure: str


def passes_view(archive: Archive) -> list[PassView]:
    """The passes of the modes of `archive`; empty if its run had none."""
    return [
        PassView(
            f"{device.upper()} `{mode}`",
            records.read_json(folder / layout.PASS_RECORD, "accuracy_pass")["reason"],
            bool(records.read_json(folder / layout.ACCURACY, "accuracy")["differences"]),
            archive.differences(device, mode).name,
        )
        for (device, mode), folder in accuracy_folders(archive).items()
        if folder != archive.reference_pass
    ]
