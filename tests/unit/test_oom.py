"""The kernel's count of kills for want of memory."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from taskq_workers.lanes.death import cause_of
from taskq_workers.lanes.oom import OomKills


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/system.slice/taskq.service", "system.slice/taskq.service/memory.events"),
        ("0::/", "memory.events"),
        ("0::/docker/abc", "memory.events"),  # of a container that sees its own group only, at the root
        ("9:memory:/docker/abc", "memory/docker/abc/memory.oom_control"),
    ],
)
def test_each_kill_is_seen_once(tmp_path: Path, line: str, file: str) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "cgroups"
    own.write_text(f"{line}\n")
    counter = root / file
    counter.parent.mkdir(parents=True)
    counter.write_text("low 0\noom 1\noom_kill 1\noom_group_kill 0\n")
    kills = OomKills(own, root)
    assert not kills.news(), "that was before"
    counter.write_text("low 0\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert kills.news()
    assert not kills.news()


@pytest.mark.parametrize("text", [None, "", "oom_kill", "something else"])
def test_where_nothing_is_told_nothing_is_known(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "memory.events").write_text(text)
    assert not OomKills(tmp_path / "none", tmp_path).news()


def test_what_is_said() -> None:
    assert cause_of(-signal.SIGKILL, starved=True) == "SIGKILL (out of memory)"
    assert cause_of(-signal.SIGSEGV, starved=True) == "SIGSEGV"
    assert cause_of(3) == "exit code 3"
    assert cause_of(-40) == "signal 40"
