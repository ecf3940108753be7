"""Network namespaces, and what carries IP packets between them: late, not at all, or to nobody while parted.

Each namespace has one TUN device; the other end of all of these is a thread here, which reads packets, waits, and
writes them to where they are to go. TCP itself sees that, and does what it does on a bad network. Linux, as root.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_TUNSETIFF, _TUN, _NO_INFORMATION = 0x400454CA, 0x0001, 0x1000
_PACKET = 1 << 16  # bytes, and more than one has
_DESTINATION = slice(16, 20)  # in an IPv4 header
_IPV4 = 4
_GLANCE = 0.05  # seconds after which the thread looks whether it is to end


@dataclass(frozen=True)
class Link:
    """What a host's packets meet on their way, in both directions.

    Args:
        delay: Seconds, each way.
        jitter: Seconds by which that may be more; packets may overtake each other then.
        loss: Share of them that nobody gets.
        parted: Nobody gets any.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    parted: bool = False


class Host:
    """One namespace. ``address``: of its only device."""

    def __init__(self, prefix: str, number: int) -> None:
        self.namespace = f"{prefix}{number}"
        self.address = f"10.77.{number}.1"
        self.link = Link()
        self.device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        name = f"{prefix}{number}"
        fcntl.ioctl(self.device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN | _NO_INFORMATION))
        _ip("netns", "add", self.namespace)
        _ip("link", "set", name, "netns", self.namespace)
        for command in (("addr", "add", f"{self.address}/16", "dev", name), ("link", "set", name, "up"),
                        ("link", "set", "lo", "up")):  # fmt: skip
            _ip("-n", self.namespace, *command)

    @property
    def key(self) -> bytes:
        return bytes(map(int, self.address.split(".")))

    def command(self, *command: str) -> list[str]:
        """What runs this on the host."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def remove(self) -> None:
        os.close(self.device)
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "delete", self.namespace)


class Network:
    """Carries packets between hosts.

    ``carried`` and ``lost``: how many so far. ``late``: seconds by which those that came did so later than they
    were to, all together, since this machine was busy.
    """

    def __init__(self, hosts: list[Host], seed: int = 1) -> None:
        self.hosts = hosts
        self.carried = self.lost = 0
        self.late = 0.0
        self._by_address = {host.key: host for host in hosts}
        self._rng = random.Random(seed)
        self._late: list[tuple[float, int, Host, bytes]] = []
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="network", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _carry(self) -> None:
        devices = {host.device: host for host in self.hosts}
        poll = select.poll()
        for device in devices:
            poll.register(device, select.POLLIN)
        while not self._over.is_set():
            due = self._late[0][0] - time.monotonic() if self._late else _GLANCE
            for device, _event in poll.poll(max(0.0, min(due, _GLANCE)) * 1000):
                self._read(devices[device])
            while self._late and self._late[0][0] <= time.monotonic():
                moment, _number, host, packet = heapq.heappop(self._late)
                self.late += time.monotonic() - moment
                self._arrive(host, packet)

    def _read(self, sender: Host) -> None:
        while True:
            try:
                packet = os.read(sender.device, _PACKET)
            except BlockingIOError:
                return
            receiver = self._by_address.get(packet[_DESTINATION])
            if packet[0] >> 4 == _IPV4 and receiver is not None:
                self._send(sender, receiver, packet)

    def _send(self, sender: Host, receiver: Host, packet: bytes) -> None:
        wait = 0.0
        for link in (sender.link, receiver.link):
            if link.parted or self._rng.random() < link.loss:
                self.lost += 1
                return
            wait += link.delay + self._rng.uniform(0.0, link.jitter)
        heapq.heappush(self._late, (time.monotonic() + wait, next(self._numbers), receiver, packet))

    def _arrive(self, host: Host, packet: bytes) -> None:
        if host.link.parted:
            self.lost += 1
            return
        self.carried += 1
        with suppress(BlockingIOError):  # its queue is full: lost, as on any network
            os.write(host.device, packet)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def network(count: int) -> Iterator[Network]:
    """So many hosts, which are gone at the end."""
    hosts: list[Host] = []
    prefix = f"tq{os.getpid() % 1_000_000}h"  # another run may have its own
    try:
        for number in range(count):
            hosts.append(Host(prefix, number))  # noqa: PERF401 - those that are there are removed if the next fails
        carrier = Network(hosts)
        try:
            yield carrier
        finally:
            carrier.close()
    finally:
        for host in hosts:
            host.remove()
