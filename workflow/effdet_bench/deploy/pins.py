"""The exact versions that a bundle needs: packages, and all that these require."""

import ast
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from effdet_bench.errors import BenchError
from effdet_bench.facts.code import OWN


def pins(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each of `packages` and of what they require, by name, sorted.

    Raises:
        BenchError: one of them is not installed.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, "") for name in packages]
    while waiting:
        name, extra_name = canonicalize_name(waiting[-1][0]), waiting.pop()[1]
        if (name, extra_name) in seen:
            continue
        seen.add((name, extra_name))
        try:
            found[name] = public(version(name))
            needed = map(Requirement, requires(name) or [])
        except PackageNotFoundError:
            raise BenchError(
                f"a bundle needs the package {name}, which is not installed: run `make report`."
            ) from None
        for one in needed:
            if one.marker is None or one.marker.evaluate({"extra": extra_name}):
                waiting += [(one.name, more) for more in ("", *one.extras)]
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


def imported(files: Iterable[Path]) -> list[str]:
    """The installed packages that Python `files` import as they are themselves imported."""
    names: set[str] = set()
    for path in files:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    known = packages_distributions()
    others = names - sys.stdlib_module_names - {*OWN}
    return sorted({known[name][0] for name in others if name in known})


def package_of(module: str) -> str:
    """The package that contains `module`, such as `onnxruntime-gpu`; `module` if there is none."""
    return packages_distributions().get(module, [module])[0]


def public(number: str) -> str:
    """The version `number` without the part that names a build, which pip may not find: `+cpu`."""
    return number.partition("+")[0]
