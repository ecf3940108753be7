"""One world: a server, hosts with services, people, a plan of what befalls them, and an oracle that looks on."""

from __future__ import annotations

import random
from typing import Any

from rq.job import JobStatus

from tests.simulation.faults import Faults
from tests.simulation.ledger import Ledger
from tests.simulation.loop import Host, Loop, Task
from tests.simulation.messages import Messages
from tests.simulation.oracle import Memory, Oracle, Violation
from tests.simulation.people import Caller, Person, Producer, Push
from tests.simulation.plan import HOSTS, Plan
from tests.simulation.server import Server
from tests.simulation.services import Manager
from tests.simulation.story import Story, operation
from tests.simulation.wire import Network

SETTLED = 120.0  # seconds after the last fault within which every wait must have ended

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
        self.starting: Any = None
        self.pushes = {order.number: Push(order) for order in plan.orders}
        self.incarnations: dict[bytes, int] = {}
        self.cancels: set[str] = set()
        self.deleted: set[str] = set()
        self.lost: list[tuple[float, float]] = []  # what happened between was undone
        self.oracle = Oracle(self.server, self.ledger, self.incarnations, {o.number: o for o in plan.orders})
        self.oracle.ids = sorted({order.id for order in plan.orders})
        self.server.after = self._after
        self.server.remember = lambda: self.oracle.memory
        self.server.recall = self._recall
        self.server.on_publish = self.messages.publish
        self.hosts = [Host(name) for name in HOSTS[: plan.hosts]]
        self.managers = [Manager(self, host, plan.services) for host in self.hosts]
        self.people: list[Person] = []
        self.failure: BaseException | None = None
        self.faults = Faults(self)
        self.network.fate = self.faults.fate
        self.messages.lost = self.faults.loses
        for order in plan.orders:
            self.loop.at(
                order.at, lambda order=order: self._enter(Producer(self, order, Host("a producer's host")))
            )
        _here = self

    def _enter(self, person: Any) -> None:
        self.people.append(person)
        self.loop.spawn(person, person.run)

    def say(self, text: str) -> None:
        self.story.say(text)

    # -- what others tell ------------------------------------------------------------------------------

    def announced(self, push: Push) -> None:
        """A push has returned: callers come, and all must be there (I5)."""
        self.oracle.look()
        for number, way in enumerate(push.order.callers):
            self._enter(Caller(self, push, f"caller {number}", way, Host("a caller's host")))

    def canceled(self, map_id: str) -> None:
        self.cancels.add(map_id)

    def push_of(self, incarnation: bytes) -> Push | None:
        number = self.incarnations.get(incarnation)
        return None if number is None else self.pushes[number]

    def of_id(self, map_id: str) -> list[Push]:
        return [push for push in self.pushes.values() if push.order.id == map_id and push.began]

    def lost_since(self, push: Push) -> bool:
        """Whether the server has come back as it was before this push was over."""
        return any(saved <= (push.returned or self.loop.now) and died >= push.began for saved, died in self.lost)

    def revive(self, manager: Manager) -> None:
        self.managers.remove(manager)
        self.managers.append(Manager(self, manager.host, self.plan.services))

    # -- steps -----------------------------------------------------------------------------------------

    def _after(self, who: str, command: list[bytes], reply: Any) -> None:
        name = operation(command)
        if name == "begin" and who.startswith("producer "):
            self.incarnations[command[3 + int(command[2]) + 1]] = int(who.split()[1])
        self.story.tell(who, command, reply)
        if name or command[0].upper() in (b"DEL", b"UNLINK", b"HSET", b"HDEL"):
            self.oracle.look()

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
        """
        last = max([deed.at + deed.seconds for deed in self.plan.deeds] + [o.at for o in self.plan.orders])
        until = last + SETTLED
        self.loop.run(until, lambda: self.failure is not None or self._at_rest(last))
        if self.failure is not None:
            raise self.failure
        waiting = [person.name for person in self.people if person.tasks]
        if waiting:
            raise Violation(f"{', '.join(waiting)} still waits, {SETTLED:g} s after the last fault")
        problems = self._unsettled()
        if problems:
            raise Violation("; ".join(problems))

    def _at_rest(self, last: float) -> bool:
        if self.loop.now < last or any(person.tasks for person in self.people):
            return False
        return len(self.people) >= len(self.plan.orders) and not self._unsettled()

    def _unsettled(self) -> list[str]:
        """What is left that should not be, once everybody has heard of everything."""
        found = []
        for key, item in list(self.server.db.items()):
            name = key.decode()
            if item.expireat is not None and item.expireat < self.server.time:
                continue
            if name.startswith(("rq:queue:", "rq:execution", "rq:wip")):
                found.append(f"{name} is left")
            if name.startswith("rq:job:"):
                status = item.value.get(b"status")
                if status is not None and status.decode() not in ENDED:
                    found.append(f"{name} is {status.decode()}")
                elif status in (b"finished", b"failed"):
                    found += self._mistold(name.removeprefix("rq:job:"), status.decode())
            if name.startswith("taskq:{") and item.expireat is None:
                found.append(f"{name} never expires")
        return found

    def _mistold(self, map_id: str, status: str) -> list[str]:
        """Whether RQ tells another end of a map than its keys do."""
        found = self.server.value(f"taskq:{{{map_id}}}")
        if found is None:
            return []
        fields = found.getall()
        whole = fields.get(b"done") == fields.get(b"total")
        if whole == (status == "finished"):
            return []
        return [f"RQ says that {map_id} is {status}, and {fields.get(b'done')} of {fields.get(b'total')} are done"]


ENDED = {one.value for one in (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.STOPPED)}
