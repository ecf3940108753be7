"""A service that the system does not let start: the manager goes on supervising, and tries again."""

from __future__ import annotations

import errno
import multiprocessing
from typing import Any

import cotyledon
import pytest

from taskq_workers.manager.manager import Manager
from taskq_workers.manager.respawn import Respawn


def test_what_can_not_be_started_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    started: list[int] = []
    again: list[float] = []
    manager: Any = Manager.__new__(Manager)
    manager.mp_context = multiprocessing
    manager._others, manager._finished, manager._respawn = {}, set(), Respawn()
    monkeypatch.setattr(Manager, "_look_again", lambda _self, seconds: again.append(seconds))
    monkeypatch.setattr(cotyledon.ServiceManager, "_start_worker", refuse)
    for _ in range(4):
        manager._start_worker("service", 0)
    assert len(again) == 4
    assert min(again) > 0
    assert "service 0 can't be started: [Errno 28] No space left on device; tried again in 0.1 s" in caplog.text
    monkeypatch.setattr(cotyledon.ServiceManager, "_start_worker", lambda *given: started.append(given[2]))
    manager._respawn = Respawn()
    manager._start_worker("service", 0)
    assert started == [0]
