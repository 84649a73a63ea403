"""Puts the workflow into the package, so that a wheel has all that `effdet-bench init` needs."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# for a cluster, a clone is needed
WORKFLOW = (
    "Snakefile",
    "config.yaml",
    "smoke.yaml",
    "three-d0.yaml",
    "constraints.txt",
    "profiles/default/*",
    "workflow/rules/*",
    "workflow/report/*",
)


class WithWorkflow(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the package then finds the workflow in the checkout
            return
        found = (path for pattern in WORKFLOW for path in ROOT.glob(pattern))
        for path in filter(Path.is_file, found):
            target = Path(self.build_lib, "effdet_bench", "project", path.relative_to(ROOT))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


setup(cmdclass={"build_py": WithWorkflow})
