"""`effdet-runtime COMMAND …`: runs the detectors of a bundle."""

import argparse
import sys
from pathlib import Path

from effdet_runtime.detect import DRAWN_SCORE, detect
from effdet_runtime.errors import DeploymentError
from effdet_runtime.verify import verify


def main(argv: list[str] | None = None) -> None:
    """Runs the command that `argv` names; without `argv`, the command line names it."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except DeploymentError as error:
        sys.exit(f"effdet-runtime {args.command}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="effdet-runtime", description=__doc__)
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
        type=float,
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
        command.add_argument("--threads", type=int, help="default: as many as were measured")
    return parser


def _add_service(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--bundle", type=Path, required=True, help="the folder of the bundle")
    hosts = ["127.0.0.1", "0.0.0.0", "::"]
    add("--host", choices=hosts, default=hosts[0], help="0.0.0.0 for any; default: %(default)s")
    add("--port", type=int, default=8000, help="from 1024 on; default: %(default)s")
    add("--instances", type=int, help="default: what the load test found best, else 1")
    add("--queue", type=int, default=8, help="requests that may wait; default: %(default)s")
    add("--deadline", type=float, default=5, help="seconds from photo to answer; default: 5")
    add("--body-seconds", type=float, default=10, help="in which a photo must arrive; default: 10")
    add("--most-bytes", type=int, default=20 * 2**20, help="of a photo; default: 20 MiB")
    add("--most-pixels", type=int, default=50_000_000, help="of a photo; default: %(default)s")
    add("--merge", action="store_true", help="answer with one table of all models")
    parser.set_defaults(run=_serve)


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
