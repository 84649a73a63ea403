"""What an engine's file declares, computed without importing the engine, which takes seconds.

A declaration may be any expression: this module runs only the statements that it depends on.
"""

import ast
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from effdet_bench.errors import BenchError, in_one_line
from effdet_bench.facts.engines import engine_file, located

FP32 = "fp32"
OptionValue = bool | int | float | str


@dataclass(frozen=True)
class Declaration:
    """What an engine declares of itself.

    `options` are the options that a mode may set, each with its allowed values (`OPTIONS`).
    `exports` gives for each precision the precision of the export that it runs on. It is `None` for
    an engine that runs networks of PyTorch (`EXPORTS`). Answers depend on the versions of
    `packages` (`PACKAGES`).
    """

    options: dict[str, list[OptionValue]]
    exports: dict[str, str] | None
    packages: tuple[str, ...]


@functools.cache
def declaration(engine: str) -> Declaration:
    """What the file of `engine` declares.

    Raises:
        BenchError: the file does not declare an engine correctly; the text names the file.
    """
    path = located(engine).path
    try:
        tree = ast.parse(path.read_text(), str(path))
    except SyntaxError as error:
        raise _wrong(engine, f"line {error.lineno} is no Python ({error.msg})") from None
    defined = {name for statement in tree.body for name in _binds(statement)}
    if "load" not in defined:
        raise _wrong(engine, "there is no function load(models, device, options)")
    values = _values(engine, tree, ("OPTIONS", "EXPORTS", "PACKAGES"))
    if values["EXPORTS"] is not None and "export" not in defined:
        raise _wrong(engine, "EXPORTS is there, but no export(model, device, options, …)")
    return _checked(engine, values["OPTIONS"], values["EXPORTS"], values["PACKAGES"])


def _wrong(engine: str, what: str) -> BenchError:
    return BenchError(f"{engine_file(engine)}: {what}; docs/engines.md says what an engine needs.")


def _checked(engine: str, options: Any, exports: Any, packages: Any) -> Declaration:
    options = {} if options is None else options
    if not isinstance(options, dict) or not all(
        isinstance(name, str)
        and isinstance(values, list | tuple)
        and values
        and all(isinstance(value, bool | int | float | str) for value in values)
        for name, values in options.items()
    ):
        raise _wrong(
            engine,
            f"OPTIONS is {options!r}, but must be a dictionary of lists",
        )
    if exports is not None:
        precisions = options.get("precision", [FP32])
        missing = [one for one in precisions if not isinstance(exports, dict) or one not in exports]
        if missing:
            raise _wrong(engine, f"EXPORTS names no export for the precision {missing[0]}")
    packages = () if packages is None else packages
    if not isinstance(packages, list | tuple) or not all(
        isinstance(name, str) for name in packages
    ):
        raise _wrong(engine, f"PACKAGES is {packages!r}, but must be a list of names")
    kept = {name: list(values) for name, values in options.items()}
    return Declaration(kept, exports, tuple(packages))


def _values(engine: str, tree: ast.Module, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of `names` in the module `tree`; `None` for names that it does not define."""
    statements = _needed(tree.body, names)
    module, path = located(engine)[:2]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    # what a module has of itself, so that it can import and read what lies beside it
    space: dict[str, Any] = {"__name__": module, "__package__": package, "__file__": str(path)}
    try:
        # safe to run: it is the engine's own code, which the timing job imports anyway
        exec(compile(ast.Module(statements, []), engine_file(engine), "exec"), space)
    except Exception as error:
        shown = " and ".join(name for name in names if name not in space)
        raise _wrong(engine, f"{shown} cannot be computed ({in_one_line(error)})") from None
    return {name: space.get(name) for name in names}


def _needed(body: list[ast.stmt], names: Iterable[str]) -> list[ast.stmt]:
    """The statements of `body` that give `names` their values, in their order."""
    wanted, chosen = set(names), set[int]()
    while True:
        more = {i for i, one in enumerate(body) if i not in chosen and wanted & _binds(one)}
        if not more:
            return [body[index] for index in sorted(chosen)]
        chosen |= more
        wanted |= {
            node.id
            for index in more
            for node in ast.walk(body[index])
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }


def _binds(statement: ast.stmt) -> set[str]:
    """Names that `statement` defines or changes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    bound = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    # OPTIONS["x"] = …, OPTIONS["x"] += …, OPTIONS.update(…)
    changed = [*getattr(statement, "targets", []), getattr(statement, "target", None)]
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        changed.append(statement.value.func)
    for target in changed:
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        if isinstance(target, ast.Name):
            bound.add(target.id)
    return bound
