"""``taskq worker --reload``: who edits a module need not restart the worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskq import Queue
from tests.acceptance.worker import ROOT, Workers, environment
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


def test_a_changed_module_is_loaded_anew(workers: Workers, real_queue: Queue, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "package").mkdir(parents=True)
    (project / "package" / "__init__.py").touch()
    module = project / "package" / "edited.py"
    module.write_text("def answer(n): return n\n")
    worker = workers.ready(1, "--reload", cwd=project)

    def answers() -> list[int]:
        return real_queue.map("package.edited.answer", [1, 2]).get(timeout=HANGS)

    def hung_up(change: Path) -> bool:
        """Written as long as it is not seen, for nobody says when the watching begins."""
        change.write_text("def answer(n): return n + 10\n")
        return f"{change.name} changed" in worker.output

    assert answers() == [1, 2]
    (project / "notes.txt").touch()  # no module
    wait_until(lambda: hung_up(module))
    wait_until(lambda: answers() == [11, 12])
    assert "notes.txt" not in worker.output
    assert worker.stop() == 0


def test_without_the_extra() -> None:
    program = "import sys; sys.modules['watchfiles'] = None; from taskq_workers.cli import main; main()"
    told = subprocess.run([sys.executable, "-c", program, "worker", "--reload"], cwd=ROOT, env=environment(),
                          capture_output=True, text=True, timeout=HANGS, check=False)  # fmt: skip
    assert told.returncode == 1
    assert "--reload needs watchfiles, which is not installed: pip install 'taskq-pool[reload]'" in told.stderr
    assert "Traceback" not in told.stderr
