"""Files of settings: what YAML takes in silence, and nobody means, is refused."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from effdet_bench.errors import BenchError


def refuse_ambiguous(files: Iterable[str | Path]) -> None:
    """Makes sure that each of `files`, which Snakemake has read, says everything once.

    Raises:
        BenchError: a key is there twice, of which YAML takes the last; or an alias, by which a few
            lines can be billions of settings.
    """
    for file in files:
        text = Path(file).read_text(encoding="utf-8")
        try:
            # of events, as a tree of aliases may be endless
            aliases = [one for one in yaml.parse(text) if isinstance(one, yaml.AliasEvent)]
            tree = None if aliases else yaml.compose(text)
        except yaml.YAMLError:
            continue  # it is JSON, with tabs
        for alias in aliases:
            raise BenchError(
                f"config: {file} has the alias *{alias.anchor} in line {_line(alias)}: write out "
                "what it stands for."
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
    """Keys that a mapping in `node` has had before, each with the first of them."""
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
