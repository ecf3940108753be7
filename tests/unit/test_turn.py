"""Threads take turns; a fork does not wait for a thread of its parent's."""

from __future__ import annotations

import os
import threading

from taskq.maps.turn import Turn
from tests.waiting import wait_until


def test_one_after_the_other() -> None:
    turn, inside, most = Turn(), 0, 0

    def run() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turn:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_fork_does_not_wait_for_whoever_had_it() -> None:
    turn = Turn()
    with turn:  # as another thread might just then
        child = os.fork()
        if child == 0:
            with turn:
                os._exit(7)
    ended: list[int] = []

    def look() -> bool:
        pid, status = os.waitpid(child, os.WNOHANG)
        ended.extend([os.waitstatus_to_exitcode(status)] if pid else [])
        return bool(ended)

    wait_until(look)
    assert ended == [7]
    with turn:
        pass
