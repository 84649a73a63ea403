"""Which files of the package a step is made of, so that an edit reruns what it concerns."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent
PACKAGE = ROOT.name


def module_files(*entries: str) -> list[Path]:
    """The files of the modules `entries` and of all modules of the package that they import.

    Reads imports from the source, those inside functions too, and imports nothing. `entries` are
    names inside the package, such as `timing` or `engines.eager`.
    """
    found: dict[Path, None] = {}
    waiting = [f"{PACKAGE}.{entry}" for entry in entries]
    while waiting:
        path = _path(waiting.pop())
        if path is None or path in found:
            continue
        found[path] = None
        waiting += _imports(ast.parse(path.read_text()))
    return sorted(found)


def _path(name: str) -> Path | None:
    place = ROOT.joinpath(*name.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] == PACKAGE]
