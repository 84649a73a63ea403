"""The two ways in which a step may end that are the user's to mend."""


class BenchError(Exception):
    """A step cannot go on. The text is one sentence: what is wrong, where, and what to do."""


class UnavailableError(BenchError):
    """A mode cannot run on this machine: a device or an engine is not there. The text says why."""
