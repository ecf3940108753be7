"""How each deed of a plan is done."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import JobStatus

from taskq.errors import ReplacedError
from taskq.maps.job import MapJob
from taskq.redis.keys import MapKeys
from tests.simulation.loop import Host, Process
from tests.simulation.people import Person
from tests.simulation.plan import Deed
from tests.simulation.server import Saved
from tests.simulation.services import Manager, Service
from tests.simulation.story import operation
from tests.simulation.wire import FAIR, Fate, Request

_SAMPLES = (100, 0.03, 3.0)  # of the server before it crashes: how many at most, seconds between two, and in all
_REBOOT = 0.5  # seconds until a host is back
_LOOKS = (20, 0.1)  # of an operator who waits for a map to fail: how many, and seconds between two
_ARRIVED = 0.002  # seconds after which a request has reached the server


class Faults:
    """Does the deeds of a plan, each at its time, and counts them."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._rng = random.Random(f"losses {world.plan.seed}")
        self._armed: list[Deed] = []  # those that wait for a request of their kind
        self._spent: set[Deed] = set()
        self._away = 0.0  # until then the server is
        self._deaf = 0.0  # until then no message is heard
        self._deaf_ones: dict[Process, float] = {}  # until then these hear none
        self.done: Counter[str] = Counter()
        self.saved: dict[Deed, Any] = {}
        self._samples: deque[Saved] = deque(maxlen=_SAMPLES[0])  # of the server, while somebody may want one
        for deed in world.plan.deeds:
            if deed.kind == "rollback":
                world.loop.at(max(0.0, deed.at - deed.what), lambda deed=deed: self._save(deed))
            if deed.kind == "crash":
                world.loop.at(max(0.0, deed.at - deed.what[0]), lambda deed=deed: self._sample(deed))
            world.loop.at(deed.at, lambda deed=deed: self._do(deed))

    def _do(self, deed: Deed) -> None:
        getattr(self, deed.kind.replace(" ", "_").replace("'", ""))(deed)

    def _count(self, kind: str, text: str) -> None:
        self.done[kind] += 1
        self._world.say(text)

    # -- services --------------------------------------------------------------------------------------

    def _pick(self, deed: Deed, among: list[Any]) -> Any:
        return among[deed.which % len(among)] if among else None

    def _services(self) -> list[Service]:
        return [one for manager in self._world.managers for one in manager.services.values() if one.alive]

    def _people(self) -> list[Person]:
        return [one for one in self._world.people if one.tasks]

    def kill_service(self, deed: Deed) -> None:
        if one := self._pick(deed, self._services()):
            self._count("kill service", f"{one.name} is killed")
            one.kill()

    def stop_service(self, deed: Deed) -> None:
        if one := self._pick(deed, self._services()):
            self._count("stop service", f"{one.name} is told to stop")
            one.stop()

    def kill_person(self, deed: Deed) -> None:
        if one := self._pick(deed, self._people()):
            self._count("kill person", f"{one.name} is killed")
            one.kill()

    def pause(self, deed: Deed) -> None:
        if one := self._pick(deed, [*self._services(), *self._people()]):
            self._count("pause", f"{one.name} is stopped for {deed.seconds:g} s")
            self._world.health.trouble(one, deed.seconds)
            one.pause(deed.seconds)

    def pause_process(self, deed: Deed) -> None:
        if one := self._pick(deed, list(self._world.pool.values())):
            self._count("pause process", f"{one.name} is stopped for {deed.seconds:g} s")
            self._world.ledger.stopped.add(one.name)
            one.pause(deed.seconds)

    def kill_process(self, deed: Deed) -> None:
        if one := self._pick(deed, list(self._world.pool.values())):
            self._count("kill process", f"{one.name} is killed")
            one.kill()

    def kill_host(self, deed: Deed) -> None:
        manager: Manager = self._pick(deed, self._world.managers)
        if manager is None or not manager.alive:
            return
        self._count("kill host", f"the host {manager.host.name} is lost, for {deed.seconds:g} s")
        self._lose(manager, deed.seconds)

    def _lose(self, manager: Manager, seconds: float) -> None:
        services = list(manager.services.values())
        manager.kill()
        for one in services:
            one.kill()
        self._world.loop.at(self._world.loop.now + seconds, lambda: self._world.revive(manager))

    def confuse(self, deed: Deed) -> None:
        """What the process says next of a chunk is not true."""
        if one := self._pick(deed, list(self._world.pool.values())):
            self._count("confuse", f"{one.name} is confused: {deed.what}")
            one.confused = deed.what

    # -- clocks ----------------------------------------------------------------------------------------

    def clock(self, deed: Deed) -> None:
        host: Host = self._pick(deed, [*self._world.hosts, *(person.host for person in self._people())])
        self._count("clock", f"the clock of {host.name} is set {deed.what:+g} s")
        host.offset += deed.what

    def servers_clock(self, deed: Deed) -> None:
        self._count("server's clock", f"the clock of the server is set {deed.what:+g} s")
        self._world.health.all_trouble(abs(deed.what))
        self._world.server.host.offset += deed.what

    # -- the server ------------------------------------------------------------------------------------

    def outage(self, deed: Deed) -> None:
        self._down(deed, None, "outage", f"the server is away for {deed.seconds:g} s")

    def _save(self, deed: Deed) -> None:
        if self._world.server.up:
            self.saved[deed] = self._world.server.save()

    def rollback(self, deed: Deed) -> None:
        self._roll_back(deed, deed.what)

    def _roll_back(self, deed: Deed, lost: float) -> None:
        saved = self.saved.pop(deed, None)
        if saved is None or saved.life != self._world.server.life:
            return
        text = f"the server dies, and loses what is younger than {lost:g} s"
        if self._down(deed, saved, "rollback", text):
            self._world.health.all_trouble(deed.seconds)
            self._world.lost.append((saved.moment, self._world.loop.now))

    def crash(self, deed: Deed) -> None:
        """The server dies just when it has done something, and loses what is younger than some time."""
        self._armed.append(deed)

    def _sample(self, deed: Deed) -> None:
        loop = self._world.loop
        if deed not in self._spent and loop.now < deed.at + _SAMPLES[2]:
            if self._world.server.up:
                self._samples.append(self._world.server.save())
            loop.at(loop.now + _SAMPLES[1], lambda: self._sample(deed))
        elif deed in self._armed:  # nobody has done what it waited for
            self._armed.remove(deed)

    def _crash(self, deed: Deed) -> None:
        now, lost = self._world.loop.now, deed.what[0]
        samples = [one for one in self._samples if one.life == self._world.server.life]
        old = [one for one in samples if one.moment <= now - lost] or samples[:1]
        if old:
            self.saved[deed] = old[-1]
            self._roll_back(deed, lost)

    def _down(self, deed: Deed, saved: Any, kind: str, text: str) -> bool:
        """Whether it was up; else it stays away for longer."""
        server, loop = self._world.server, self._world.loop
        self._world.health.outage(deed.seconds)
        self._away = max(self._away, loop.now + deed.seconds)
        if not server.up:
            return False
        self._count(kind, text)
        server.stop()
        loop.at(self._away, lambda: self._back(saved))
        return True

    def _back(self, saved: Any) -> None:
        if self._world.loop.now < self._away:
            self._world.loop.at(self._away, lambda: self._back(saved))
            return
        self._world.server.start(saved)
        self._world.say("the server is back")

    def full(self, deed: Deed) -> None:
        server, loop = self._world.server, self._world.loop
        self._count("full", f"the server has no memory for {deed.seconds:g} s")
        self._world.health.all_trouble(deed.seconds)
        server.full = max(server.full, loop.now + deed.seconds)

    def spoil(self, deed: Deed) -> None:
        """Somebody deletes a part of a map's keys; once, for two that fit together nobody could tell."""
        map_id, what = deed.what
        if map_id in self._world.damaged:
            return
        key = getattr(MapKeys(map_id), what)
        if self._world.server.up and self._world.server.value(key):
            self._count("spoil", f"somebody takes an element out of {key}")
            self._world.spoiled(map_id)
            value = self._world.server.db[key.encode()].value
            if isinstance(value, list):
                value.pop(deed.which % len(value))
            else:
                del value[sorted(value.getall())[deed.which % len(value.getall())]]
            if not value:  # nor has Redis an empty one
                del self._world.server.db[key.encode()]

    # -- the network -----------------------------------------------------------------------------------

    def network(self, deed: Deed) -> None:
        self._armed.append(deed)

    def deaf(self, deed: Deed) -> None:
        until = self._world.loop.now + deed.seconds
        if deed.what == "all":
            self._count("deaf", f"no message is heard for {deed.seconds:g} s")
            self._deaf = max(self._deaf, until)
        elif one := self._pick(deed, [*self._services(), *self._people()]):
            self._count("deaf", f"{one.name} hears no message for {deed.seconds:g} s")
            self._deaf_ones[one] = until

    def loses(self, process: Process, _channel: bytes) -> bool:
        if self._world.loop.now < max(self._deaf, self._deaf_ones.get(process, 0.0)):
            return True
        return self._world.plan.loss > 0 and self._rng.random() < self._world.plan.loss

    def fate(self, request: Request) -> Fate:
        """What becomes of this request."""
        for deed in self._armed:
            kind, wanted = (deed.kind, deed.what[1]) if deed.kind == "crash" else deed.what
            at = _position(request, wanted)
            if at is None or (kind == "twice" and wanted in ("", "exec")):
                continue
            self._armed.remove(deed)
            self._spent.add(deed)
            if kind == "crash":
                self._world.loop.at(self._world.loop.now + _ARRIVED, lambda deed=deed: self._crash(deed))
                return FAIR
            said = wanted or "something"
            self._count(kind, f"{request.process.name} says {said}: {kind} ({deed.seconds:g} s)")
            self._world.health.trouble(request.process, deed.seconds)
            if kind in ("twice", "stall"):
                if kind == "twice":
                    self._again(request, at, deed.seconds)
                else:
                    request.process.pause(deed.seconds)
                return FAIR
            if kind == "last words":
                self._silence(request.process)
            return {
                "reply lost": Fate(reply=False),
                "request lost": Fate(run=0),
                "torn": Fate(run=at + deed.which % 2),
                "late": Fate(delay=deed.seconds),
                "last words": Fate(delay=deed.seconds),
            }[kind]
        return FAIR

    def _silence(self, process: Process) -> None:
        """What it has just said is on its way, and it says no more."""
        if isinstance(process, Manager):
            self._lose(process, _REBOOT)
        else:
            process.kill()

    def _again(self, request: Request, at: int, seconds: float) -> None:
        command = request.commands[at]
        server, loop = self._world.server, self._world.loop

        def run() -> None:
            if server.up:
                server.execute(f"an echo of {request.process.name}", server.accept(), [command])

        loop.at(loop.now + 0.002 + seconds, run)

    # -- operators -------------------------------------------------------------------------------------

    def _operate(self, deed: Deed, what: Callable[[MapJob], object]) -> None:
        person = Person(self._world, f"operator {deed.at:g}", self._world.server.host)

        def run() -> None:
            while True:
                try:
                    what(MapJob.fetch(deed.what, connection=person.connection))
                except (NoSuchJobError, InvalidJobOperation):
                    return
                except RedisError as error:
                    self._world.say(f"{person.name} could not {deed.kind} {deed.what}: {error}")
                    person.loop.sleep(1.0)
                else:
                    return

        self._world.loop.spawn(person, run)

    def cancel(self, deed: Deed) -> None:
        self._count("cancel", f"an operator cancels {deed.what}")
        self._world.canceled(deed.what)
        self._operate(deed, lambda job: job.cancel(kill=bool(deed.which % 2)))

    def delete(self, deed: Deed) -> None:
        self._count("delete", f"an operator deletes {deed.what}")
        self._world.deleted.add(deed.what)
        self._operate(deed, lambda job: job.delete())

    def requeue(self, deed: Deed) -> None:
        def again(job: MapJob) -> None:
            for _ in range(_LOOKS[0]):
                if job.get_status() == JobStatus.FAILED:
                    self._count("requeue", f"an operator requeues {deed.what}")
                    job.requeue()
                    self._world.requeued.add(deed.what)
                    return
                self._world.loop.sleep(_LOOKS[1])

        def unless_replaced(job: MapJob) -> None:
            with suppress(ReplacedError):  # while it is looked at, or in this moment
                again(job)

        self._operate(deed, unless_replaced)


def _position(request: Request, wanted: str) -> int | None:
    """Where in a request there is such an operation."""
    if not wanted:
        return 0
    for position, command in enumerate(request.commands):
        if operation(command) == wanted:
            return position
    return None
