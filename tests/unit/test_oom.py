"""The kernel's count of kills for want of memory."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from taskq_workers.lanes import lanes
from taskq_workers.lanes.death import cause_of
from taskq_workers.lanes.lanes import Lanes
from taskq_workers.lanes.oom import LATELY, OomKills
from taskq_workers.settings import Settings


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/system.slice/taskq.service", "system.slice/taskq.service/memory.events"),
        ("0::/", "memory.events"),
        ("0::/docker/abc", "memory.events"),  # of a container that sees its own group only, at the root
        ("9:memory:/docker/abc", "memory/docker/abc/memory.oom_control"),
    ],
)
def test_each_kill_is_seen_for_a_moment(tmp_path: Path, line: str, file: str) -> None:
    own, root, now = tmp_path / "cgroup", tmp_path / "cgroups", [0.0]
    own.write_text(f"{line}\n")
    counter = root / file
    counter.parent.mkdir(parents=True)
    counter.write_text("low 0\noom 1\noom_kill 1\noom_group_kill 0\n")
    kills = OomKills(own, root, lambda: now[0])
    assert not kills.lately(), "that was before"
    counter.write_text("low 0\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert kills.lately()
    assert kills.lately(), "also for the other one that died of it"
    now[0] += LATELY + 0.1
    assert not kills.lately()


def test_an_old_kill_is_not_the_cause_of_a_new_death(tmp_path: Path) -> None:
    now, counter = [0.0], tmp_path / "memory.events"
    counter.write_text("oom_kill 1\n")
    kills = OomKills(tmp_path / "none", tmp_path, lambda: now[0])
    counter.write_text("oom_kill 2\n")
    for _ in range(10):
        kills.look()
        now[0] += 1.0
    assert not kills.lately(), "nobody had asked meanwhile"


def test_two_that_die_at_the_same_time_have_the_same_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that the service killed takes nothing from the others."""
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 1\n")
    monkeypatch.setattr(lanes, "OomKills", lambda: OomKills(tmp_path / "none", tmp_path))
    row = Lanes(Settings(""), "", Mock(), Mock())
    counter.write_text("oom_kill 2\n")
    dead: list[Any] = [Mock(index=n, killed_for="" if n else "timeout", stillborn=False) for n in range(3)]
    for lane in dead:
        row.bury(lane)
    assert [lane.starved for lane in dead] == [False, True, True]


@pytest.mark.parametrize("text", [None, "", "oom_kill", "something else"])
def test_where_nothing_is_told_nothing_is_known(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "memory.events").write_text(text)
    assert not OomKills(tmp_path / "none", tmp_path).lately()


def test_what_is_said() -> None:
    assert cause_of(-signal.SIGKILL, starved=True) == "SIGKILL (out of memory)"
    assert cause_of(-signal.SIGSEGV, starved=True) == "SIGSEGV"
    assert cause_of(3) == "exit code 3"
    assert cause_of(-40) == "signal 40"
