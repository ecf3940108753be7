"""How each deed of a plan is done."""

from __future__ import annotations

from typing import Any

from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import JobStatus

from taskq.maps.job import MapJob
from tests.simulation.people import Person
from tests.simulation.plan import Deed
from tests.simulation.services import Manager, Service
from tests.simulation.story import operation
from tests.simulation.wire import FAIR, Fate, Request


class Faults:
    """Does the deeds of a plan, each at its time, and counts them."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._armed: list[Deed] = []  # those that wait for a request of their kind
        self._deaf = 0.0  # until then no message is heard
        self.done: dict[str, int] = {}
        self.saved: dict[Deed, Any] = {}
        for deed in world.plan.deeds:
            if deed.kind == "rollback":
                world.loop.at(max(0.0, deed.at - deed.what), lambda deed=deed: self._save(deed))
            world.loop.at(deed.at, lambda deed=deed: self._do(deed))

    def _do(self, deed: Deed) -> None:
        getattr(self, deed.kind.replace(" ", "_"))(deed)

    def _count(self, kind: str, text: str) -> None:
        self.done[kind] = self.done.get(kind, 0) + 1
        self._world.say(text)

    # -- services --------------------------------------------------------------------------------------

    def _pick(self, deed: Deed, among: list[Any]) -> Any:
        return among[deed.which % len(among)] if among else None

    def _services(self) -> list[Service]:
        return [one for manager in self._world.managers for one in manager.services.values() if one.alive]

    def kill_service(self, deed: Deed) -> None:
        if one := self._pick(deed, self._services()):
            self._count("kill service", f"{one.name} is killed")
            one.kill()

    def stop_service(self, deed: Deed) -> None:
        if one := self._pick(deed, self._services()):
            self._count("stop service", f"{one.name} is told to stop")
            one.stop()

    def pause(self, deed: Deed) -> None:
        if one := self._pick(deed, [*self._services(), *self._world.people]):
            self._count("pause", f"{one.name} is stopped for {deed.seconds:g} s")
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
        services = list(manager.services.values())
        manager.kill()
        for one in services:
            one.kill()
        self._world.loop.at(self._world.loop.now + deed.seconds, lambda: self._world.revive(manager))

    # -- the server ------------------------------------------------------------------------------------

    def outage(self, deed: Deed) -> None:
        self._count("outage", f"the server is away for {deed.seconds:g} s")
        self._down(deed, None)

    def _save(self, deed: Deed) -> None:
        self.saved[deed] = self._world.server.save()

    def rollback(self, deed: Deed) -> None:
        saved = self.saved.pop(deed, None)
        if saved is None or not self._world.server.up or saved.life != self._world.server.life:
            return
        self._count("rollback", f"the server dies, and loses what is younger than {deed.what:g} s")
        self._world.lost.append((saved.moment, self._world.loop.now))
        self._down(deed, saved)

    def _down(self, deed: Deed, saved: Any) -> None:
        server, loop = self._world.server, self._world.loop
        if not server.up:
            return
        server.stop()

        def back() -> None:
            server.start(saved)
            self._world.say("the server is back")

        loop.at(loop.now + deed.seconds, back)

    def full(self, deed: Deed) -> None:
        server, loop = self._world.server, self._world.loop
        self._count("full", f"the server has no memory for {deed.seconds:g} s")
        server.full = True
        loop.at(loop.now + deed.seconds, lambda: setattr(server, "full", False))

    # -- the network -----------------------------------------------------------------------------------

    def network(self, deed: Deed) -> None:
        self._armed.append(deed)

    def deaf(self, deed: Deed) -> None:
        self._count("deaf", f"no message is heard for {deed.seconds:g} s")
        self._deaf = max(self._deaf, self._world.loop.now + deed.seconds)

    def loses(self, _process: Any, _channel: bytes) -> bool:
        return self._world.loop.now < self._deaf

    def fate(self, request: Request) -> Fate:
        """What becomes of this request."""
        for deed in self._armed:
            kind, wanted = deed.what
            at = _position(request, wanted)
            if at is None or (kind == "twice" and wanted in ("", "exec")):
                continue
            self._armed.remove(deed)
            said = wanted or "something"
            self._count(kind, f"{request.process.name} says {said}: {kind} ({deed.seconds:g} s)")
            if kind == "twice":
                self._again(request, at, deed.seconds)
                return FAIR
            return {
                "reply lost": Fate(reply=False),
                "request lost": Fate(run=0),
                "torn": Fate(run=at + deed.which % 2),
                "late": Fate(delay=deed.seconds),
            }[kind]
        return FAIR

    def _again(self, request: Request, at: int, seconds: float) -> None:
        command = request.commands[at]
        server, loop = self._world.server, self._world.loop

        def run() -> None:
            if server.up and operation(command) not in ("", "exec"):
                server.execute(f"an echo of {request.process.name}", server.accept(), [command])

        loop.at(loop.now + 0.002 + seconds, run)

    # -- operators -------------------------------------------------------------------------------------

    def _operate(self, deed: Deed, what: Any) -> None:
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
            if job.get_status() == JobStatus.FAILED:
                self._count("requeue", f"an operator requeues {deed.what}")
                job.requeue()

        self._operate(deed, again)


def _position(request: Request, wanted: str) -> int | None:
    """Where in a request there is such an operation."""
    if not wanted:
        return 0
    for position, command in enumerate(request.commands):
        if operation(command) == wanted:
            return position
    return None
