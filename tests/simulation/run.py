"""Runs one world of a plan, from its beginning to its end, and clears it away."""

from __future__ import annotations

import gc
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.simulation import patches, themes
from tests.simulation.loop import Stuck
from tests.simulation.plan import Plan
from tests.simulation.world import World
from tests.waiting import HANGS

_cpu = time.process_time  # the real one, whatever the time is in a world


@dataclass(frozen=True)
class Outcome:
    """What came of one world.

    Args:
        failure: What was as it must never be; "" if nothing was.
        faults: How often each kind of fault was done.
        seconds: Of CPU.
    """

    plan: Plan
    failure: str
    story: str
    faults: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """The plan, and what happened to whom."""
        return f"{self.plan}\n\n{self.story}\n\n{self.failure or 'all was well'}"


def run(given: Plan) -> Outcome:
    """Let a plan happen. The same plan always ends alike, whatever was run before."""
    patches.apply()
    patches.forget()
    began = _cpu()
    random.seed(given.seed)
    gc.disable()  # else what is cleared away, and when, is another each time
    world = World(given)
    failure = ""
    try:
        with _bounded():
            world.run()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    finally:
        world.leave()
        gc.collect()
        gc.enable()
    return Outcome(given, failure, str(world.story), world.faults.done, world.loop.steps, _cpu() - began)


@contextmanager
def _bounded() -> Iterator[None]:
    """End what goes round in circles in which no time passes, wherever it is; others' load is not in its CPU."""

    def ring(*_: object) -> None:
        raise Stuck(f"it has not come to an end within {HANGS} s")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def run_seed(seed: int) -> Outcome:
    """As ``run``, of the plan which is drawn from a seed."""
    return run(themes.draw(seed))
