"""The exact versions that a bundle needs: packages, and all that these require."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from effdet_bench.errors import BenchError


def pins(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each of `packages` and of what they require, by name, sorted.

    Raises:
        BenchError: one of them is not installed.
    """
    found: dict[str, str] = {}
    waiting = list(packages)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = version(name)
            needed = map(Requirement, requires(name) or [])
        except PackageNotFoundError:
            raise BenchError(
                f"a bundle needs the package {name}, which is not installed: run `make report`."
            ) from None
        waiting += [
            one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return dict(sorted(found.items()))


def extra(name: str) -> list[str]:
    """What the extra `name` of effdet-bench requires, as pip takes it."""
    needed = map(Requirement, requires("effdet-bench") or [])
    return [
        f"{one.name}{one.specifier}"
        for one in needed
        if one.marker
        and one.marker.evaluate({"extra": name})
        and not one.marker.evaluate({"extra": ""})
    ]
