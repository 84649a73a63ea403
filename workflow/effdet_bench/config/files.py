"""Files of settings: finds repeated keys and aliases, which YAML accepts silently."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from effdet_bench.errors import BenchError


def refuse_ambiguous(files: Iterable[str | Path]) -> None:
    """Checks that each of `files`, which Snakemake has read, has no repeated key and no alias.

    Raises:
        BenchError: a file has a key twice, of which YAML takes the last; or it has an alias, with
            which a few lines can stand for billions of settings.
    """
    for file in files:
        text = Path(file).read_text(encoding="utf-8")
        try:
            # read events, because the tree of a file with aliases may be endless
            aliases = [one for one in yaml.parse(text) if isinstance(one, yaml.AliasEvent)]
            tree = None if aliases else yaml.compose(text)
        except yaml.YAMLError:
            continue  # JSON with tabs, which YAML does not allow and Snakemake has read
        for alias in aliases:
            raise BenchError(
                f"config: {file} has the alias *{alias.anchor} in line {_line(alias)}: write its "
                "content there."
            )
        for key, first in _repeated(tree):
            raise BenchError(
                f"config: {file} has the key {key.value!r} twice, in line {_line(first)} and in "
                f"line {_line(key)}: keep one."
            )


def _line(where: Any) -> int:
    """The line in which an event or a node begins, counted from 1."""
    return int(where.start_mark.line) + 1


def _repeated(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Pairs of (repeated key, the first key of that name) of every mapping in `node`."""
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _repeated(one)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value in seen:
                yield key, seen[key.value]
            seen[key.value] = key
            yield from _repeated(value)
