"""Which engines there are, and where their code lies; found without importing any of them.

An engine is a file in this package's folder `engines`, or a module of another installed package.
Such a package names the module in its entry points of the group `effdet_bench.engines`.
"""

import functools
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from effdet_bench import layout
from effdet_bench.errors import BenchError, did_you_mean

FOLDER = layout.PACKAGE / "engines"
# files of code that engines share
NO_ENGINES = ("__init__", "base", "contract", "joint", "lean", "loading")
GROUP = "effdet_bench.engines"


class Located(NamedTuple):
    """The code of an engine.

    `module` is its dotted name, and `path` the module's file. `shown` is that file in messages.
    `files` are all files whose edit may change the engine, apart from what these import of
    effdet-bench. `package` is the installed package that brings the engine, `None` for
    effdet-bench.
    """

    module: str
    path: Path
    shown: str
    files: list[Path]
    package: str | None


def engine_names() -> list[str]:
    """The names of all engines: of this package, and of other installed packages."""
    return sorted({*_shipped(), *_installed()})


@functools.cache
def located(engine: str) -> Located:
    """Where the code of `engine` lies.

    Raises:
        BenchError: there is no such engine, two packages have one of this name, or the package that
            names the engine does not contain it.
    """
    entries = _installed().get(engine, [])
    packages = [*(["effdet-bench"] if engine in _shipped() else []), *map(_package, entries)]
    if not packages:
        raise BenchError(
            f"there is no engine {engine!r}{did_you_mean(engine, engine_names())}: no file "
            f"engines/{engine}.py, and no installed package with an entry point of this name in "
            f"the group {GROUP}."
        )
    if len(packages) > 1:
        raise BenchError(
            f"there are several engines {engine!r}, of the packages {' and '.join(packages)}: "
            "uninstall one of them, or give its engine another name."
        )
    return _outside(entries[0]) if entries else _inside(engine)


def is_shipped(engine: str) -> bool:
    """Whether `engine` is of this package."""
    return engine in _shipped()


def engine_file(engine: str) -> str:
    """The file of `engine` in messages: relative to this package, or to where pip installs."""
    return located(engine).shown


def _shipped() -> set[str]:
    files = {path.stem for path in FOLDER.glob("*.py")} - {*NO_ENGINES}
    return files | {path.parent.name for path in FOLDER.glob("*/__init__.py")}


@functools.cache  # reading the metadata of all installed packages takes 20 ms
def _installed() -> dict[str, list[EntryPoint]]:
    """The entry points of other packages by the name of the engine."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"


def _inside(engine: str) -> Located:
    folder = FOLDER / engine
    path = folder / "__init__.py" if folder.is_dir() else FOLDER / f"{engine}.py"
    shown = path.relative_to(FOLDER.parent).as_posix()
    return Located(f"{layout.PACKAGE.name}.engines.{engine}", path, shown, [path], None)


def _outside(entry: EntryPoint) -> Located:
    top, *inner = entry.value.split(".")
    # setuptools lists the modules and packages that it installs
    tops = ((entry.dist and entry.dist.read_text("top_level.txt")) or "").split()
    files = [path for name in dict.fromkeys([top, *tops]) for path in _files(name)]
    for place in _places(top):
        stem = place.joinpath(*inner) if place.is_dir() else place.with_suffix("")
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file() and (place.is_dir() or not inner):
                shown = path.relative_to(place.parent).as_posix()
                return Located(entry.value, path, shown, files, _package(entry))
    raise BenchError(
        f"the package {_package(entry)} names the module {entry.value} for the engine "
        f"{entry.name}, but there is no such file of Python: correct its entry point, and install "
        "the package again."
    )


def _places(name: str) -> list[Path]:
    """The folders of the package `name`, or the file of the module `name`; a name without a dot."""
    spec = find_spec(name) if name.isidentifier() else None  # imports nothing
    if spec is None:
        return []
    found = spec.submodule_search_locations or [spec.origin or ""]
    return [path for path in map(Path, found) if path.is_dir() or path.suffix == ".py"]


def _files(name: str) -> list[Path]:
    """All files of the module or package `name`."""
    found = (_all_files(place) if place.is_dir() else [place] for place in _places(name))
    return [path for paths in found for path in paths]


def _all_files(folder: Path) -> list[Path]:
    """All files of a package, those of libraries and data too; no caches and no hidden files."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not _is_hidden(path.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)
