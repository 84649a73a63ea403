"""`effdet-runtime COMMAND …`: runs the detectors of a bundle."""

import argparse
import contextlib
import math
import sys
from collections.abc import Callable
from pathlib import Path

from effdet_runtime.detect import DRAWN_SCORE, detect
from effdet_runtime.errors import DeploymentError
from effdet_runtime.photos import MAX_PIXELS
from effdet_runtime.verify import verify


def main(argv: list[str] | None = None) -> None:
    """Runs the command that `argv` names; without `argv`, the command line names it."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except DeploymentError as error:
        sys.exit(f"effdet-runtime {args.command}: {error}")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        why = error.strerror or error
        sys.exit(f"effdet-runtime {args.command}: {why}{where}: choose another path.")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="effdet-runtime",
        description="Runs the detectors of a bundle; each command has its own --help.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checks = commands.add_parser("verify", help="check a bundle on this machine")
    checks.add_argument("bundle", type=Path, help="the folder of the bundle")
    checks.set_defaults(run=lambda args: verify(args.bundle, args.threads))
    finds = commands.add_parser("detect", help="detect objects in photos")
    finds.add_argument("photos", nargs="+", type=Path, help="photos, or folders of photos")
    finds.add_argument("--bundle", type=Path, required=True, help="the folder of the bundle")
    finds.add_argument(
        "--output",
        type=Path,
        default=Path("detections.json"),
        help="COCO's results format (.json), or .csv; default: %(default)s",
    )
    finds.add_argument(
        "--min-score",
        type=_number("from 0 to 1", lambda score: 0 <= score <= 1),
        help=f"leave out detections with a lower score; default: 0, and {DRAWN_SCORE} in pictures",
    )
    finds.add_argument(
        "--merge", action="store_true", help="one table of all models, by NMS within each class"
    )
    finds.add_argument(
        "--draw", type=Path, help="a folder for pictures with the boxes of the merged table"
    )
    finds.set_defaults(run=detect)
    serves = commands.add_parser("serve", help="serve the bundle by HTTP; needs the extra `serve`")
    _add_service(serves)
    for command in (checks, finds, serves):
        command.add_argument(
            "--threads", type=_from(1), help="threads of all models; default: as many as measured"
        )
    return parser


def _add_service(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    seconds = _number("above 0", lambda given: 0 < given < math.inf)
    hosts = ["127.0.0.1", "0.0.0.0", "::"]
    add("--bundle", type=Path, required=True, help="the folder of the bundle")
    add(
        "--host",
        choices=hosts,
        default=hosts[0],
        help="the address to listen at; default: %(default)s",
    )
    add(
        "--port",
        type=_from(1024, 65535),
        default=8000,
        help="a port from 1024 to 65535; default: %(default)s",
    )
    add(
        "--instances",
        type=_from(1),
        help="processes that serve; default: the number that answered most requests a second in "
        "the load test, or 1 without a load test",
    )
    add("--queue", type=_from(0), default=8, help="requests that may wait; default: %(default)s")
    add(
        "--deadline",
        type=seconds,
        default=5.0,
        help="seconds from the whole photo to the answer; default: %(default)s",
    )
    add(
        "--body-seconds",
        type=seconds,
        default=10.0,
        help="seconds in which a photo must arrive; default: %(default)s",
    )
    add(
        "--max-bytes",
        type=_from(1),
        default=20_000_000,
        help="bytes of the largest photo; default: %(default)s",
    )
    add(
        "--max-pixels",
        type=_from(1, MAX_PIXELS),
        default=50_000_000,
        help="pixels of the largest photo; default: %(default)s",
    )
    add("--merge", action="store_true", help="answer with one table of all models")
    parser.set_defaults(run=_serve)


def _from(least: int, most: float = math.inf) -> Callable[[str], int]:
    """The type of an option that is a whole number from `least` to `most`."""
    allowed = f"of at least {least}" if most == math.inf else f"from {least} to {most}"

    def whole(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is no whole number {allowed}")
        return int(text)

    return whole


def _number(allowed: str, accepts: Callable[[float], bool]) -> Callable[[str], float]:
    """The type of an option that is a number which `accepts` takes; `allowed` says which are."""

    def number(text: str) -> float:
        with contextlib.suppress(ValueError):
            if accepts(given := float(text)):
                return given
        raise argparse.ArgumentTypeError(f"{text} is no number {allowed}")

    return number


def _serve(args: argparse.Namespace) -> None:
    try:
        from effdet_runtime.service.server import serve
    except ImportError as error:
        raise DeploymentError(
            f"serving needs the package {error.name}: pip install 'PATH_OF_THE_BUNDLE[serve]'."
        ) from None
    serve(args)


if __name__ == "__main__":
    main()
