"""Engines with planted faults, each with the check that must find it, and how to install one.

As a program, checks each of them and one that is unavailable, all on one bench, and prints the
results as JSON.
"""

import contextlib
import json
import tempfile
from pathlib import Path

from effdet_bench.conformance.bench import Bench
from effdet_bench.conformance.checks import check
from effdet_bench.conformance.tried import Trials
from helpers import ROOT

HONEST = (ROOT / "docs" / "engine" / "copying_engine.py").read_text()
RUN = "        outputs: Outputs = self.networks[index](pixels)\n"
OPTIONS = 'OPTIONS = {"copies": COPIES, '
LOADED = "        super().__init__(models, device, options)\n"
BUSY = """
def busy(seconds):
    import hashlib, time
    begin = time.thread_time()
    while time.thread_time() < begin + seconds:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000)  # without Python's global lock
"""


def faulty(*edits: tuple[str, str], more: str = "") -> str:
    """The code of the example in docs/engines.md with `edits`, old and new text, and `more`."""
    code = HONEST
    for old, new in edits:
        assert old in code, old
        code = code.replace(old, new)
    return code + more


# name of the engine: its code, the check that fails, and words of the reason
PLANTED = {
    "keeping": (
        faulty(
            (LOADED, f"{LOADED}        self.kept = {{}}\n"),
            (
                RUN,
                "        key = index, float(pixels.double().square().sum())\n"
                "        if key not in self.kept:\n"
                "            self.kept[key] = self.networks[index](pixels)\n"
                "        outputs: Outputs = self.kept[key]\n",
            ),
        ),
        "answers-kept",
        "answers are kept: new photos take",
    ),
    "greedy": (
        faulty(
            (
                RUN,
                f"{RUN}        import threading\n"
                "        one = lambda: threading.Thread(target=busy, args=(0.1,))\n"
                "        workers = [one() for _ in range(4)]\n"
                "        [worker.start() for worker in workers]\n"
                "        [worker.join() for worker in workers]\n",
            ),
            more=BUSY,
        ),
        "threads",
        "more threads than given: with 1 thread given,",
    ),
    "spinning": (
        faulty(
            (
                RUN,
                f"{RUN}        import threading\n"
                "        threading.Thread(target=busy, args=(0.1,)).start()\n",
            ),
            more=BUSY,
        ),
        "after-the-clock",
        "processor time after answers is",
    ),
    "leaking": (
        faulty(
            (LOADED, f"{LOADED}        self.seen = []\n"),
            (RUN, f"{RUN}        self.seen.append(pixels[..., :64].clone())\n"),
        ),
        "memory",
        "the engine leaks: memory grows by",
    ),
    "deaf": (
        faulty((OPTIONS, f'{OPTIONS}"precision": ["fp32", "bf16"], ')),
        "precisions",
        "bf16 is ignored: all outputs are those of fp32, to the last bit",
    ),
    "rounding": (
        faulty(
            (RUN, f"        with torch.autocast('cpu', torch.bfloat16):\n    {RUN}"),
        ),
        "shapes",
        "times as large as rounding explains",
    ),
    "random": (
        faulty(
            (RUN, f"{RUN}        outputs[0][0][:] += 1e-6 * torch.randn_like(outputs[0][0])\n"),
        ),
        "determinism",
        "a photo that was sent twice got two answers",
    ),
    "mixing": (
        faulty(
            (
                "    def forward(",
                "    def accept(self, photos: int) -> None:\n        pass\n\n    def forward(",
            ),
            (RUN, f"{RUN}        outputs = [[x.flip(0) for x in levels] for levels in outputs]\n"),
        ),
        "batches",
        "photos of one batch: first: error of box regressions at feature level 1 of 5",
    ),
    "spawned": (
        faulty(
            (
                RUN,
                f"{RUN}        import multiprocessing as m\n"
                "        if 'Spawn' in type(m.current_process()).__name__:\n"
                "            outputs[0][0][:] += 1e-6\n",
            ),
        ),
        "fork-and-spawn",
        "forked and spawned processes give other answers",
    ),
    "misshapen": (
        faulty(
            (
                RUN,
                f"{RUN}        if self.options.get('copies') == 2:\n"
                "            return outputs[0]\n",
            )
        ),
        "options",
        "copies: 2: planted_misshapen.py: forward must return",
    ),
    "misnamed": (
        faulty(("import torch\n", "import torch\nfrom torch import no_such_name\n")),
        "determinism",
        "planted_misnamed.py, line 4, cannot be imported: cannot import name 'no_such_name'",
    ),
    "crashing": (
        faulty(
            (LOADED, f"{LOADED}        assert self.options.get('copies') != 2, 'no copies'\n"),
        ),
        "options",
        "copies: 2: AssertionError: no copies",
    ),
}


def install(folder: Path, engines: dict[str, str]) -> None:
    """Installs a package with `engines`, code by name, in `folder`, a place of Python's path."""
    for name, code in engines.items():
        (folder / f"planted_{name}.py").write_text(code)
    about = folder / "planted_engines-0.1.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-engines\nVersion: 0.1\n")
    entries = "".join(f"{name} = planted_{name}\n" for name in engines)
    (about / "entry_points.txt").write_text(f"[effdet_bench.engines]\n{entries}")


UNAVAILABLE = "graph"  # on a CPU


def main() -> None:
    checks = {name: failing for name, (_, failing, _) in PLANTED.items()}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench("cpu", Path(folder))
        found = {}
        for name, one in (checks | {UNAVAILABLE: "determinism"}).items():
            with contextlib.closing(Trials(bench, name)) as trials:
                found[name] = check(trials, one)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
