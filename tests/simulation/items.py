"""What the maps of a simulation run: each item does what the plan says of it."""

from __future__ import annotations

from tests.simulation import world
from tests.simulation.ledger import Value
from tests.simulation.loop import Killed
from tests.simulation.plan import HOSTS

HANGS = 60.0  # seconds, of an item that is not to be waited for


class Uninitialized(Exception):  # noqa: N818 - as below
    """Raised where the initializer was not called once before."""


class Bad(Exception):  # noqa: N818 - it is what the oracle looks for
    """Raised by items that are to fail."""


def load(function: int) -> None:
    """The initializer of this push."""
    here = world.current()
    process, order = here.loop.current.process, here.pushes[function].order
    if not process.alive:
        raise Killed
    here.loop.sleep(order.seconds)
    loaded = here.ledger.load(process.name, process.incarnation)
    if order.initializer == "deadly once" and loaded == 1:
        here.say(f"{process.name} dies of the initializer")
        process.kill()
        here.loop.sleep(0)


def run(function: int, item: tuple[int, int, bytes] | Value) -> Value:
    """Run one item.

    Args:
        function: Number of the push whose function this is.
        item: Number of the push whose item it is, and its index; or the result of another push.
    """
    here = world.current()
    push, index = (function, item.index) if isinstance(item, Value) else item[:2]
    order = here.pushes[push].order
    task = here.loop.current
    process = task.process
    if not process.alive:
        raise Killed
    if order.initializer and here.ledger.loads.get((process.name, process.incarnation)) != 1:
        raise Uninitialized(f"item {index} of push {push} runs where that was not initialized once")
    number = here.ledger.begin(push, index, process.name, process.service, here.loop.now,
                               item if isinstance(item, Value) else None)  # fmt: skip
    here.begins(push)
    tries = here.ledger.tries(push, index)
    what = order.items.get(index, "")
    slow = here.plan.slow if process.host.name == HOSTS[0] else 1.0
    here.loop.sleep(order.seconds * here.rng.uniform(0.2, 1.8) * slow)
    if what == "poison" or (what == "deadly once" and tries == 1):
        here.say(f"{process.name} dies of item {index}")
        process.kill()
        here.loop.sleep(0)
    if what == "long" and order.item_timeout:
        here.loop.sleep(order.item_timeout + 5.0)
    if what == "hangs once" and tries == 1:
        here.loop.sleep(HANGS)
    here.ledger.runs[number].ended = True
    if what == "fails" or (what == "fails once" and tries == 1) or (what == "fails later" and tries > 1):
        raise Bad(f"item {index} of push {push}")
    return Value(function, push, index, number)
