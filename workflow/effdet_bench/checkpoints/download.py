"""Downloads one release checkpoint: resumes, tries again, and verifies the file."""

import argparse
import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from tqdm import tqdm

from effdet_bench.checkpoints.catalogue import RELEASE, ReleaseFile
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.errors import BenchError
from effdet_bench.locks import hold

ATTEMPTS = 5
TIMEOUT_SECONDS = (10, 30)  # to connect, and to wait for the next piece of the answer
FIRST_WAIT_SECONDS = 1.0
PIECE_BYTES = 1 << 16
SAFE = re.compile(r"https://|http://(localhost|127\.[\d.]+|\[::1\])[:/]")  # as `mirror` allows


class _TryAgainError(Exception):
    """The server's answer is an error that may be gone at the next attempt."""


RETRIED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    _TryAgainError,
)


def download(
    url: str, release: ReleaseFile, target: str | Path, wait: float = FIRST_WAIT_SECONDS
) -> None:
    """Downloads `url` to `target`, which appears only when its size and SHA-256 are right.

    If a transfer breaks off, its bytes stay in `<target>.part`. The next attempt, in this run or a
    later run, requests only the rest. Between attempts it waits `wait` seconds, doubled each time.
    Only one process at a time downloads to a folder. A file that another process has downloaded
    meanwhile is not downloaded again.

    Raises:
        BenchError: the server refuses, all attempts failed, or the file is a wrong one.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent):
        with contextlib.suppress(BenchError):
            check_file(target, release.sha256, release.bytes)
            return
        _download(url, release, target, wait)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    held = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # the file system has no locks: download without one
            hold(held, f"another download to {folder}/")
        yield
    finally:
        os.close(held)


def _download(url: str, release: ReleaseFile, target: Path, wait: float) -> None:
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _fetch(url, part, release.bytes, wait)
    try:
        check_file(part, release.sha256, release.bytes)
    except BenchError:
        part.unlink()
        if not resumed:
            raise
        # an earlier run may have begun the file from another server: begin again, once
        _download(url, release, target, wait)
        return
    part.replace(target)


def _fetch(url: str, part: Path, size: int, wait: float) -> None:
    for attempt in range(ATTEMPTS):
        try:
            _fetch_rest(url, part, size)
            return
        except RETRIED as error:
            if attempt == ATTEMPTS - 1:
                raise BenchError(
                    f"{url} could not be downloaded in {ATTEMPTS} attempts ({error}): run again to "
                    f"go on from {part}, or put the file into {part.parent}/ yourself."
                ) from error
            time.sleep(wait * 2**attempt)
        except requests.RequestException as error:
            raise BenchError(
                f"{url} cannot be downloaded ({error}): check `mirror` in config.yaml."
            ) from error


def _fetch_rest(url: str, part: Path, total: int) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= total:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
        if answer.status_code >= 500 or answer.status_code == 429:
            raise _TryAgainError(f"the server answered {answer.status_code}")
        if answer.status_code >= 400:
            raise BenchError(
                f"{url} cannot be downloaded, the server answered {answer.status_code} "
                f"{answer.reason}: check `mirror` in config.yaml."
            )
        for hop in (*answer.history, answer):
            if not SAFE.match(hop.url):
                raise BenchError(
                    f"{url} was redirected to {hop.url}, which is not https: check `mirror` in "
                    "config.yaml."
                )
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise BenchError(
                f"{url} was answered by a web page, maybe of a network that needs a login: log in, "
                "or check `mirror` in config.yaml."
            )
        resumed = answer.status_code == 206
        with (
            part.open("ab" if resumed else "wb") as out,
            tqdm(total=total, initial=have if resumed else 0, unit="B", unit_scale=True) as bar,
        ):
            bar.set_description(part.stem)
            for piece in answer.iter_content(PIECE_BYTES):
                out.write(piece)
                bar.update(len(piece))
                if out.tell() > total:  # too long, so it is a wrong file: read no more of it
                    break
    if part.stat().st_size < total:
        raise _TryAgainError(f"the connection closed after {part.stat().st_size} of {total} bytes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, choices=list(RELEASE))
    parser.add_argument("--mirror", required=True, help="address, before the file name")
    parser.add_argument("--output", required=True, help="the file to write")


def run(args: argparse.Namespace) -> None:
    release = RELEASE[args.model]
    download(args.mirror + release.file, release, args.output)
