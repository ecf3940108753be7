"""Does the deeds of a schedule to a site, and undoes those that have an end: stopped processes go on again."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psutil
from redis.exceptions import RedisError

from taskq.redis.connection import connect
from tests.chaos.schedule import Deed
from tests.chaos.site import Host, Parts, Site, pool_of
from tests.waiting import HANGS

_PAUSE = 0.02  # seconds between looks at what is due
_CLOCKS = (-3600.0, -20.0, -2.0, 0.0, 2.0, 20.0, 3600.0)  # seconds by which a host's is ahead


class Monkey:
    """Runs one schedule.

    Args:
        site: The place.
        deeds: By time.
        log: Called with a line for each deed.
    """

    def __init__(self, site: Site, deeds: list[Deed], log: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self._site = site
        self._deeds = deeds
        self._log = log
        self._later: list[tuple[float, Callable[[], None]]] = []

    def run(self, seconds: float) -> None:
        """Do everything in its time; afterwards nothing is stopped, and the server runs.

        A deed for which nobody is there waits until somebody is: the busier the machine, the longer is a start.
        """
        began = time.monotonic()
        todo = list(self._deeds)
        while (now := time.monotonic() - began) < seconds or (todo and now < seconds + HANGS):
            done = next((deed for deed in todo if deed.at <= now and self._do(deed)), None)
            if done is not None:
                todo.remove(done)
            self._undo()
            self._site.tend()
            time.sleep(_PAUSE)
        self._undo(everything=True)

    def _undo(self, *, everything: bool = False) -> None:
        due = [one for one in self._later if everything or one[0] <= time.monotonic()]
        for one in due:
            self._later.remove(one)
            one[1]()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, act))

    def _do(self, deed: Deed) -> bool:
        """Whether somebody was there to do it to."""
        act = getattr(self, "_" + deed.kind.lower().replace(" ", "_"))
        with suppress(psutil.NoSuchProcess):
            if victim := act(deed):
                self.done[deed.kind] += 1
                self._log(f"{deed.at:7.2f} {deed.kind}: {victim}")
                return True
        return False

    # -- whom ------------------------------------------------------------------------------------------

    def _host(self, deed: Deed) -> Host:
        return self._site.hosts[int(deed.pick * len(self._site.hosts))]

    def _one(self, deed: Deed, part: str) -> tuple[Host, Parts, psutil.Process] | None:
        found = [
            (host, parts, process)
            for host in self._site.hosts
            for parts in (host.parts(),)
            for process in sorted(getattr(parts, part), key=lambda process: process.pid)
        ]
        return found[int(deed.pick * len(found))] if found else None

    # -- kills -----------------------------------------------------------------------------------------

    def _kill_pool_process(self, deed: Deed) -> str:
        if (found := self._one(deed, "pool")) is None:
            return ""
        process = found[2]
        self._site.victims.add(process.pid)
        process.kill()
        return str(process.pid)

    def _kill_forkserver(self, deed: Deed) -> str:
        if (found := self._one(deed, "forkservers")) is None:
            return ""
        _host, parts, process = found
        with suppress(psutil.Error):
            self._site.victims |= {child.pid for child in parts.pool if child.ppid() == process.pid}
        process.kill()
        return str(process.pid)

    def _kill_service(self, deed: Deed) -> str:
        if (found := self._one(deed, "services")) is None:
            return ""
        _host, parts, process = found
        pool = pool_of(process, parts)
        process.kill()
        if not any(other.status() == psutil.STATUS_STOPPED for other in parts.forkservers if other.is_running()):
            self._site.bereave(process, pool)
        return str(process.pid)

    def _kill_manager(self, deed: Deed) -> str:
        if (found := self._one(deed, "managers")) is None:
            return ""
        host, _parts, process = found
        host.killed.add(process.pid)
        process.kill()
        return str(process.pid)

    def _kill_host(self, deed: Deed) -> str:
        """As when a host loses power, or the kernel ends a container: all at once."""
        host = self._host(deed)
        everybody = host.parts()
        host.killed |= {process.pid for process in everybody.all}
        for process in everybody.all:
            with suppress(psutil.Error):
                process.kill()
        return f"{len(everybody.all)} processes of host {host.number}"

    # -- stops -----------------------------------------------------------------------------------------

    def _stop(self, processes: list[psutil.Process], seconds: float) -> str:
        for process in processes:
            with suppress(psutil.Error):
                process.suspend()
        self._after(seconds, lambda: self._go_on(processes))
        return f"{' '.join(str(process.pid) for process in processes)} for {seconds:.2f} s"

    @staticmethod
    def _go_on(processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.Error):
                process.resume()

    def _stop_pool_process(self, deed: Deed) -> str:
        found = self._one(deed, "pool")
        return self._stop([found[2]], deed.seconds) if found else ""

    def _stop_service(self, deed: Deed) -> str:
        found = self._one(deed, "services")
        return self._stop([found[2]], deed.seconds) if found else ""

    def _stop_manager(self, deed: Deed) -> str:
        found = self._one(deed, "managers")
        return self._stop([found[2]], deed.seconds) if found else ""

    def _stop_host(self, deed: Deed) -> str:
        return self._stop(self._host(deed).parts().all, deed.seconds)

    # -- Redis -----------------------------------------------------------------------------------------

    def _cut(self, what: str) -> str:
        try:
            with connect(self._site.url, retries=0, timeout=2.0) as connection:
                return f"{connection.client_kill_filter(_type=what)} of them"
        except RedisError:
            return ""

    def _cut_connections(self, _deed: Deed) -> str:
        return self._cut("normal")

    def _cut_subscriptions(self, _deed: Deed) -> str:
        return self._cut("pubsub")

    def _kill_redis(self, deed: Deed) -> str:
        return self._restart(signal.SIGKILL, deed.seconds)

    def _restart_redis(self, deed: Deed) -> str:
        return self._restart(signal.SIGTERM, deed.seconds / 4)

    def _restart(self, signum: int, seconds: float) -> str:
        if not self._site.server.running:
            return ""
        self._site.server.thaw()  # a stopped one does not hear SIGTERM
        self._site.server.end(signum)
        self._after(seconds, self._site.server.start)
        return f"away for {seconds:.2f} s"

    def _roll_redis_back(self, deed: Deed) -> str:
        if not self._site.server.running:
            return ""
        self._site.server.thaw()
        self._after(deed.seconds, self._site.past())
        return f"by {deed.seconds:.2f} s"

    def _stop_redis(self, deed: Deed) -> str:
        if not self._site.server.running:
            return ""
        self._site.server.freeze()
        self._after(deed.seconds, self._thaw)
        return f"for {deed.seconds:.2f} s"

    def _thaw(self) -> None:
        if self._site.server.running:
            self._site.server.thaw()

    # -- what an operator does -------------------------------------------------------------------------

    def _set_clock(self, deed: Deed) -> str:
        """By seconds or by an hour, forwards or backwards; in the middle of whatever runs."""
        ahead = _CLOCKS[int(deed.pick * len(_CLOCKS))]
        self._site.hosts[1].set_clock(ahead)
        return f"host 1 is {ahead:+g} s ahead"

    def _upgrade(self, _deed: Deed) -> str:
        host = self._site.hosts[0]
        host.upgraded = not host.upgraded
        for manager in host.parts().managers:
            manager.terminate()
        return f"host 0 goes {'to the next version' if host.upgraded else 'back to this version'}"

    def _reload(self, deed: Deed) -> str:
        return self._signal(deed, signal.SIGHUP)

    def _terminate(self, deed: Deed) -> str:
        return self._signal(deed, signal.SIGTERM)

    def _signal(self, deed: Deed, signum: int) -> str:
        if (found := self._one(deed, "managers")) is None:
            return ""
        found[2].send_signal(signum)
        return str(found[2].pid)
