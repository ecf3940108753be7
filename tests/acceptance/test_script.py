"""A script whose results are collected by a second run of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.worker import Workers, environment
from tests.waiting import HANGS

pytestmark = pytest.mark.acceptance

SCRIPT = """
import enum, functools, sys
from dataclasses import dataclass
import taskq

class Colour(enum.Enum):
    RED = 1

@dataclass(frozen=True)
class Point:
    x: int

class BadInput(Exception):
    pass

@functools.cache
def point(n):
    return Point(n)

def work(n):
    if n == 3:
        raise BadInput(f"no {n}")  # it is three
    return Colour.RED, point(n)

if __name__ == "__main__":
    q = taskq.Queue()
    if sys.argv[1] == "push":
        q.map(work, range(3), job_id="good").wait(timeout=120)
        q.map(work, [3], job_id="bad").wait(timeout=120)
        q.enqueue(work, 1, job_id="plain")
        q.result_list("free").append(work(2))
    elif sys.argv[1] == "collect":
        print(q.fetch_job("good").get(timeout=120) == [(Colour.RED, Point(n)) for n in range(3)])
        print([value[0] is Colour.RED for value in q.fetch_job("good")], list(q.result_list("free")) == [work(2)])
        print(q.fetch_job("plain").latest_result(timeout=120).return_value == work(1))
        try:
            q.fetch_job("bad").get(timeout=120)
        except BadInput as error:
            print(error, "it is three" in str(error.__cause__))
"""


def test_a_second_run_of_a_script_gets_what_the_first_one_has_pushed(workers: Workers, tmp_path: Path) -> None:
    worker = workers.ready(2)
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)

    def run(step: str) -> str:
        done = subprocess.run([sys.executable, str(path), step], env=environment(TASKQ_URL=workers.url),
                              stdout=subprocess.PIPE, text=True, timeout=HANGS, check=True)  # fmt: skip
        return done.stdout

    assert run("push") == ""
    assert run("collect").splitlines() == ["True", "[True, True, True] True", "True", "no 3 True"]
    assert worker.stop() == 0
