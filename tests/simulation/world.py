"""One world: a server, hosts with services, people, a plan of what befalls them, and an oracle that looks on."""

from __future__ import annotations

import random
from typing import Any

from taskq.redis.keys import MapKeys
from tests.simulation.faults import Faults
from tests.simulation.health import Health
from tests.simulation.ledger import Ledger
from tests.simulation.loop import Host, Loop, Task
from tests.simulation.messages import Messages
from tests.simulation.oracle import Memory, Oracle, Violation
from tests.simulation.people import Caller, Person, Producer, Push
from tests.simulation.plan import HOSTS, Plan
from tests.simulation.rest import ENDED, unsettled
from tests.simulation.server import Server
from tests.simulation.services import Manager, Service
from tests.simulation.story import Story, operation
from tests.simulation.wire import Network

SETTLED = 120.0  # seconds after the last fault within which every wait must have ended
_LOOK = 0.2  # seconds between two looks at whether it has

_here: World | None = None


def current() -> World:
    assert _here is not None
    return _here


def maybe() -> World | None:
    return _here


class World:
    """All of one simulation."""

    def __init__(self, plan: Plan) -> None:
        global _here  # noqa: PLW0603 - the product's own code asks for the time, and must find this world's
        _here = None
        self.plan = plan
        self.rng = random.Random(f"world {plan.seed}")
        self.bytes = random.Random(f"tokens {plan.seed}")
        self.loop = Loop()
        self.loop.on_crash = self._crashed
        self.story = Story(self.loop)
        self.server = Server(self.loop)
        self.network = Network(self.loop, self.server, random.Random(f"network {plan.seed}"))
        self.messages = Messages(self.loop, self.server, random.Random(f"messages {plan.seed}"))
        self.ledger = Ledger()
        self.pool: dict[int, Any] = {}
        self.lives = 0  # services that there have been
        self.born = 0  # pool processes
        self.pushes = {order.number: Push(order) for order in plan.orders}
        self.incarnations: dict[bytes, int] = {}
        self.cancels: set[str] = set()  # ids of maps that operators have cancelled
        self.replacers: dict[str, set[int]] = {}  # id -> pushes that cancel what they find there
        self.deleted: set[str] = set()
        self.requeued: set[str] = set()  # by an operator
        self.damaged: set[str] = set()  # ids of maps of which somebody has spoiled something
        self.too_late: set[str] = set()  # those which had ended before that
        self.lost: list[tuple[float, float]] = []  # what happened between was undone
        self.oracle = Oracle(self.server, self.ledger, self.incarnations, {o.number: o for o in plan.orders})
        self.oracle.exact = plan.exact
        self.oracle.ids = sorted({order.id for order in plan.orders})
        self.health = Health(self)
        self.hosts = [Host(name, skew) for name, skew in zip(HOSTS[: plan.hosts], plan.skews, strict=False)]
        self.managers = [Manager(self, host, plan.services) for host in self.hosts]
        self.people: list[Person] = []
        self.failure: BaseException | None = None
        self.over = False
        self._connect()
        for order in plan.orders:
            self.loop.at(order.at, lambda order=order: self._enter(Producer(self, order, self._host("producer"))))
        _here = self

    def _connect(self) -> None:
        self.server.after = self._after
        self.server.remember = lambda: self.oracle.memory
        self.server.recall = self._recall
        self.server.on_publish = self.messages.publish
        self.faults = Faults(self)
        self.network.fate = self.faults.fate
        self.messages.lost = self.faults.loses

    def _enter(self, person: Any) -> None:
        self.people.append(person)
        self.loop.spawn(person, person.run)

    def _host(self, whose: str) -> Host:
        return Host(f"a {whose}'s host", self.plan.skews[-1])

    def say(self, text: str) -> None:
        self.story.say(text)

    # -- what others tell ------------------------------------------------------------------------------

    def announced(self, push: Push) -> None:
        """A push has returned: callers come, and all must be there (I5)."""
        self.oracle.look()
        if not self.lost_since(push) and push.order.source < 0:
            self.oracle.announced(push.order.id, push.incarnation, push.order.count)
        self.enter_callers(push)

    def sealed(self, push: Push) -> None:
        """An open map was sealed, and its producer was told so: all that was put must be there."""
        self.oracle.look()
        if not self.lost_since(push):
            self.oracle.announced(push.order.id, push.incarnation, push.order.count)

    def enter_callers(self, push: Push) -> None:
        """Those who wait for a map besides its producer come."""
        for number, way in enumerate(push.order.callers):
            self._enter(Caller(self, push, f"caller {number}", way, self._host("caller")))

    def canceled(self, map_id: str) -> None:
        self.cancels.add(map_id)

    def spoiled(self, map_id: str) -> None:
        """Somebody has deleted a part of this map's keys."""
        self.damaged.add(map_id)
        job = self.server.value(f"rq:job:{map_id}")
        seen = self.server.value(MapKeys(map_id).hash)
        proved = seen is not None and _is_over(seen.getall())
        if job is None or proved or job.getall().get(b"status", b"").decode() in ENDED:
            self.too_late.add(map_id)
        if seen is not None:
            self.oracle.spoiled.add(seen.getall().get(b"incarnation"))

    def push_of(self, incarnation: bytes) -> Push | None:
        number = self.incarnations.get(incarnation)
        return None if number is None else self.pushes[number]

    def of_id(self, map_id: str) -> list[Push]:
        return [push for push in self.pushes.values() if push.order.id == map_id and push.began]

    def begins(self, push: int) -> None:
        """An item of this push has begun; no more may run than are allowed to, and each by a claim of its own.

        Raises:
            Violation: If it should not have.
        """
        order, ledger = self.pushes[push].order, self.ledger
        if not self.plan.exact:
            return
        alive = {one.name for one in self.pool.values() if one.alive}
        running = [run for run in ledger.runs if run.push == push and not run.ended and run.process in alive]
        if order.max_running and len(running) > order.max_running:
            self.refuse(f"{len(running)} items of push {push} run at once: {[run.index for run in running]}")
        claimed = sum(
            len(one) for key, one in self.oracle.memory.claimed.items() if self.incarnations[key] == push
        )
        if order.rate and (begun := sum(run.push == push for run in ledger.runs)) > claimed:
            self.refuse(f"{begun} items of push {push} have begun, and {claimed} were claimed")

    def refuse(self, what: str) -> None:
        """Something is wrong; said where what raises would be taken for an item's error."""
        self.failure = self.failure or Violation(what)

    def is_stored(self, push: int, index: int) -> bool:
        """Whether what came of an item is there, or nobody wants it any more."""
        seen = self.oracle.see(self.pushes[push].order.id)
        if seen is None or self.incarnations.get(seen.fields.get(b"incarnation", b"")) != push:
            return True
        return index in seen.placed() or str(index).encode() in seen.errors

    def lost_since(self, push: Push) -> bool:
        """Whether the server has come back as it was before this push was over."""
        return any(saved <= (push.returned or self.loop.now) and died >= push.began for saved, died in self.lost)

    def is_bereft(self, push: Push) -> bool:
        """Whether the server has lost what this push said, and its producer is dead, who would say it again."""
        name = f"producer {push.order.number}"
        return self.lost_since(push) and any(one.name == name and not one.alive for one in self.people)

    def lost_from(self, push: Push) -> bool:
        """Whether the server has lost anything since this push began."""
        return any(died >= push.began for _saved, died in self.lost)

    @property
    def services(self) -> list[Service]:
        """Those that are alive."""
        return [one for manager in self.managers for one in manager.services.values() if one.alive]

    def revive(self, manager: Manager) -> None:
        self.managers.remove(manager)
        self.managers.append(Manager(self, manager.host, self.plan.services))

    # -- steps -----------------------------------------------------------------------------------------

    def _after(self, who: str, command: list[bytes], reply: Any) -> None:
        name = operation(command)
        if name == "begin" and who.startswith("producer "):
            self.incarnations[command[3 + int(command[2]) + 1]] = int(who.split()[1])
        if name == "depose" and reply == 1:
            self.health.given_up(command[3 + int(command[2])].decode())
        self.story.tell(who, command, reply)
        if name == "exec":
            self.oracle.look()
            if self.server.value("rq:queue:default"):
                self._tell_one()
        elif name or command[0].upper() in (b"DEL", b"UNLINK", b"HSET", b"HDEL"):
            words = b" ".join(command[1:16])
            self.oracle.look(one for one in self.oracle.ids if b"taskq:{%s}" % one.encode() in words)

    def _tell_one(self) -> None:
        """The server has a job for one of the services that wait."""
        if waiting := [one for one in self.services if one.waits]:
            self.rng.choice(waiting).tell()

    def _recall(self, memory: Memory) -> None:
        self.oracle.memory = memory
        self.oracle.look()

    def _crashed(self, task: Task, error: BaseException) -> None:
        self.say(f"{task.process.name} breaks: {type(error).__name__}: {error}")
        self.failure = self.failure or error

    def run(self) -> None:
        """Let it all happen.

        Raises:
            Violation: If something was as it must never be.
            Stuck: If it goes round in circles.
        """
        last = self.plan.last
        self.loop.at(last, self._look)
        self.loop.run(last + SETTLED, lambda: self.failure is not None or self.over)
        if self.failure is not None:
            raise self.failure
        if self.over:
            return
        if waiting := [person.name for person in self.people if person.tasks]:
            raise Violation(f"{', '.join(waiting)} still waits, {SETTLED:g} s after the last fault")
        raise Violation("; ".join(unsettled(self)))

    def _look(self) -> None:
        """Look whether nobody waits any more, and nothing is left that should not be; and again in a moment."""
        entered = len(self.people) >= len(self.plan.orders)
        if entered and not any(person.tasks for person in self.people) and not unsettled(self):
            self.over = True
        else:
            self.loop.at(self.loop.now + _LOOK, self._look)

    def leave(self) -> None:
        """Clear it away: nothing of it goes on while another one is simulated."""
        global _here  # noqa: PLW0603 - as above
        self.loop.close()
        _here = None


def _is_over(fields: dict[bytes, bytes]) -> bool:
    """Whether a map is closed, or about to be: what it has is being proved, or was a moment ago."""
    counted = int(fields.get(b"done", 0)) + int(fields.get(b"failed", 0))
    return fields.get(b"state") == b"closed" or counted >= int(fields.get(b"total", 1))
