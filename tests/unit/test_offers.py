"""What a service offers to the policy, and when it tells who wants something."""

from __future__ import annotations

import time
from collections import Counter, deque
from types import SimpleNamespace
from typing import Any

from taskq.maps import caps
from taskq_workers.service.core.execution import LOOK_AGAIN
from taskq_workers.service.core.policy import Policy
from taskq_workers.service.core.queue_order import QueueOrder
from taskq_workers.service.jobs import offers


def a_run(name: str, weight: float, *, in_hand: int) -> Any:
    return SimpleNamespace(
        source=(name, "1"), queue=SimpleNamespace(name="low"),
        ready=[None] * in_hand, pending=99, looked=0.0, heard=0.0, seconds=0.1, weight=weight,
        complete=False, closed="", refused=False, resumes=None, capped=False,
        info=SimpleNamespace(caps=caps.NONE), function=SimpleNamespace(ready=True),
    )  # fmt: skip


def a_state(*runs: Any) -> Any:
    return SimpleNamespace(
        maps=deque(runs), active=list(runs), runs={}, shared=False,
        ready=deque(), open={}, others=[], jobs_waiting={}, job_seconds=None, policy=Policy(),
        order=QueueOrder("default", ["low"]),
    )  # fmt: skip


def test_a_map_of_which_nothing_is_in_hand_keeps_its_place() -> None:
    weights = {"a": 1.0, "b": 1.0, "c": 4.0}
    state = a_state(*(a_run(name, weight, in_hand=name != "c") for name, weight in weights.items()))
    had: Counter[str] = Counter()
    for task in range(600):
        offers.note(state)
        next(offers.upcoming(state, offers.in_hand(state)))
        pick = next(offers.upcoming(state, offers.known(state)))
        state.policy.begin(task, pick, 0.1 * task)
        state.policy.end(task, 0.1)
        had[pick.source[0]] += 1
    assert had["c"] > 350, "four sixths, but for the credit of those that came first"


def test_the_jobs_of_a_queue_keep_their_place_between_one_and_the_next() -> None:
    state = a_state(a_run("a", 1.0, in_hand=1))
    state.jobs_waiting = {"low": 5}
    had: Counter[str] = Counter()
    for task in range(200):
        offers.note(state)
        maps = [offer for offer in offers.known(state) if offer.source != "low"]
        is_job = offers.jobs_are_next(state, "low", maps)
        state.policy.begin(task, offers.of_job(state, "low") if is_job else maps[0], 0.1 * task)
        state.policy.end(task, 0.1)
        had["jobs" if is_job else "map"] += 1
    assert abs(had["jobs"] - had["map"]) < 30


def test_what_has_nothing_pending_is_offered_again_only_if_no_look_has_told_so_since() -> None:
    now = time.monotonic()
    run = a_run("a", 1.0, in_hand=0)
    run.pending, run.looked = 0, now - 2 * LOOK_AGAIN
    assert offers.pending(run, now) == 1, "nobody knows"
    run.heard = now
    assert offers.pending(run, now + LOOK_AGAIN / 2) == 0, "hundreds of such maps would keep others waiting"
    assert offers.pending(run, now + LOOK_AGAIN) == 1
