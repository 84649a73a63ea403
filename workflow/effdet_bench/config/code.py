"""The files of the package that a step runs, so that an edit reruns only the steps it concerns."""

import ast
import functools
from pathlib import Path

from effdet_bench import layout

PACKAGE = layout.PACKAGE.name


def module_files(*entries: str) -> list[Path]:
    """The files of the modules `entries` and of all modules of the package that they import.

    Reads all imports from the source, including those inside functions, and imports no module.
    `entries` are names inside the package, such as `timing.job` or `engines.eager`.
    """
    files: dict[Path, None] = {}
    waiting = [f"{PACKAGE}.{entry}" for entry in entries]
    while waiting:
        path = _path(waiting.pop())
        if path is None or path in files:
            continue
        files[path] = None
        waiting += _imports(path)
    return sorted(files)


def _path(name: str) -> Path | None:
    stem = layout.PACKAGE.joinpath(*name.split(".")[1:])
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache  # most steps share most modules
def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] == PACKAGE]
