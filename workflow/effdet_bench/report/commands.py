"""The commands that a report advises, with the settings of its run."""

import shlex
from collections.abc import Callable, Sequence

Command = Callable[..., str]


def command_with(options: Sequence[str]) -> Command:
    """A function that writes the command of a run with `options`, which hold its settings."""

    def command(target: str = "", **settings: object) -> str:
        """The command that makes `target`, with more `settings`; of a key, the last one counts."""
        given = [word for word in options if word.split("=")[0] not in settings]
        more = [f"{key}={value}" for key, value in settings.items()]
        marker = ["--config"] if more and "--config" not in given else []
        words = ["snakemake", "--cores", "1", *filter(None, [target]), *given, *marker, *more]
        return shlex.join(words)

    return command
