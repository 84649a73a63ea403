"""The files of the package that a step runs, so that an edit reruns only the steps it concerns.

Records name the code that made them: the commit, and digests of these files.
"""

import ast
import functools
import subprocess
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from effdet_bench import layout
from effdet_bench.facts.engines import located
from effdet_bench.records import Record

PACKAGE = layout.PACKAGE.name
OWN = (PACKAGE, "effdet_runtime")  # the packages of this project whose files count
# what times, and what computes the answers that timed answers are compared with
HARNESS = ("timing.job", "reference.reference", "reference.output_errors")
SHORT = 12  # digits of a digest in records


def module_files(*entries: str, engine: str | None = None) -> list[Path]:
    """The files of the modules `entries` and of all modules of this project that they import.

    Reads all imports from the source, including those inside functions, and imports no module.
    `entries` are names inside the package, such as `timing.job`. The files of `engine`, and what
    they import, are added.
    """
    files: dict[Path, None] = dict.fromkeys(located(engine).files if engine else [])
    waiting = [f"{PACKAGE}.{entry}" for entry in entries]
    waiting += [name for path in files for name in _imports(path)]
    while waiting:
        path = _path(waiting.pop())
        if path is None or path in files:
            continue
        files[path] = None
        waiting += _imports(path)
    return sorted(files)


@functools.cache  # most modules import some of the same modules
def _path(name: str) -> Path | None:
    stem = layout.PACKAGE.parent.joinpath(*name.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache  # most steps share most modules
def _imports(path: Path) -> list[str]:
    names, tree = [], _tree(path)
    for node in _statements(tree) if tree else []:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in OWN]


def _tree(path: Path) -> ast.Module | None:
    """The syntax of the file `path`; `None` if the file is no Python."""
    try:
        return ast.parse(path.read_text(), str(path)) if path.suffix == ".py" else None
    except (SyntaxError, UnicodeDecodeError):  # a template of a package, for example
        return None


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """`tree`, its statements, handlers of errors, and cases, without the expressions inside them.

    A walk through all expressions takes five times as long.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            if isinstance(inside := getattr(node, part, None), list):
                waiting += inside


def code_digests(engine: str, exported: bool) -> dict[str, str]:
    """Digests of the code that times all modes, and of that of `engine` and its exports alone."""
    harness = module_files(*HARNESS)
    entries = ["export.export"] if exported else []
    own = [path for path in module_files(*entries, engine=engine) if path not in harness]
    files = {"harness": harness, "engine": own}
    return {part: digest_without_comments(files[part])[:SHORT] for part in files}


def code_of_job(engine: str, exported: bool) -> Record:
    """The code that times a mode of `engine`: see `code` in the schema of a job."""
    return {**_commit(), **code_digests(engine, exported)}


def code_of_judge() -> str:
    """A digest of the gate's code and limits."""
    return digest([*module_files("validity.gate"), layout.TOLERANCES])[:SHORT]


def digest_without_comments(files: Iterable[Path]) -> str:
    """The SHA-256 of what `files` run: comments, docstrings and layout of Python do not count."""
    return sha256("\n".join(map(_without_comments, files)).encode()).hexdigest()


@functools.cache  # all modes share the harness
def _without_comments(path: Path) -> str:
    tree = _tree(path)
    if tree is None:
        return digest([path])
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    for node in _statements(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False):
            del node.body[0]
    return ast.dump(tree)


def digest(files: Iterable[Path]) -> str:
    """The SHA-256 of `files`, in their order, in hexadecimal digits."""
    found = sha256()
    for path in files:
        found.update(path.read_bytes())
    return found.hexdigest()


@functools.cache
def _commit() -> Record:
    """`commit` of the package, and whether its files were `changed`; `None` outside a checkout."""
    folder = layout.PACKAGE

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not an installation in another checkout
        commit, status = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", str(folder))
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed": None}
    return {"commit": commit.strip(), "changed": bool(status)}
