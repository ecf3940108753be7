"""What job code prints is seen in time, and nothing is read from the worker's stdin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskq import Queue
from tests import printing
from tests.acceptance.worker import ROOT, Workers, environment
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


def test_what_is_printed_is_seen_while_the_process_lives_on(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(1)
    for function in (printing.say, printing.whisper, printing.say_in_c, printing.whisper_in_c):
        assert real_queue.map(function, [1, 2, 3]).get(timeout=HANGS) == [1, 2, 3]
        plain = real_queue.enqueue(function, 4)
        wait_until(lambda plain=plain: plain.get_status() == "finished")
    for words in ("said by Python: ", "whispered by Python: ", "said by C: ", "whispered by C: "):
        worker.wait_until_output(words, 4)


def test_what_a_killed_process_has_printed_is_seen(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(1)
    pushed = real_queue.map(printing.say_and_stay, [1])
    worker.wait_until_output("said by C: 1")
    worker.wait_until_output("said by Python: 1")
    pushed.cancel(kill=True)
    late = real_queue.enqueue(printing.say_and_stay, 2, job_timeout=1)
    wait_until(lambda: late.get_status() == "failed")
    worker.wait_until_output("said by C: 2")
    worker.wait_until_output("said by Python: 2")


def test_job_code_may_do_to_stdout_what_it_likes(workers: Workers, real_queue: Queue) -> None:
    workers.ready(1)
    assert real_queue.map(printing.close_stdout, [1, 0], chunksize=1).get(timeout=HANGS) == [1, 0]


def test_what_a_preloaded_module_prints_is_seen_once(workers: Workers, real_queue: Queue, folder: Path) -> None:
    (folder / "prints_when_imported.py").write_text(
        "import ctypes, sys\n"
        "print('read:', repr(sys.stdin.read()))\n"
        "print('begun by Python', end=';')\n"
        "ctypes.CDLL(None).printf(b'begun by C;')\n"
    )
    worker = workers.ready(2, "--preload", "prints_when_imported", PYTHONPATH=f"{ROOT}:{folder}")
    real_queue.map(printing.say, range(20), chunksize=1).get(timeout=HANGS)
    worker.wait_until_output("said by Python", 20)
    for words in ("read: ''", "begun by Python", "begun by C"):
        assert worker.output.count(words) == 1


@pytest.mark.parametrize("how", ["python", "system", "program"])
def test_nothing_is_read_from_stdin(folder: Path, how: str) -> None:
    program = (
        "import taskq\n"
        "from tests import printing\n"
        "with taskq.local(processes=1) as q:\n"
        f"    print(q.map(printing.read_all, [{how!r}]).get(timeout={HANGS}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment(TMPDIR=str(folder)),
                          input="for us", capture_output=True, text=True, timeout=HANGS, check=False)  # fmt: skip
    assert (done.stdout, done.stderr) == ("['']\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="open files are found in /proc")
def test_programs_of_job_code_inherit_none_of_our_files(workers: Workers, real_queue: Queue) -> None:
    workers.ready(1)
    assert real_queue.map(printing.files_of_a_child, [1]).get(timeout=HANGS) == [[0, 1, 2]]
