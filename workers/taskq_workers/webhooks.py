"""Sends RQ's webhooks: HTTP requests that a job's hash asks for, at the end of the job.

They are not signed, so anybody who can write to Redis may have chosen their address, method and headers. A worker
often reaches what such people do not: its own machine, other services of its network, a cloud's metadata. So
nothing is sent to private, loopback and link-local addresses, unless that is allowed by
``--allow-private-webhooks``; a redirect is not followed; and no proxy of the environment is asked, which would
reach them in our place.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import socket
import urllib.request
from typing import Any

from rq.job import Job
from rq.webhook import Webhook

log = logging.getLogger(__name__)

LONGEST = 600.0  # seconds that one may take, whatever it asks for
_MAPPED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses as IPv6 has them behind a translator


class ForbiddenAddressError(OSError):
    """Webhooks are not sent to such an address."""


def send_all(job: Job, status: str, error: str | None, *, private: bool) -> None:
    """Send those of a job's webhooks that are for this end; what goes wrong is logged, as RQ does.

    Args:
        job: Whose function's name is known.
        status: How it ended.
        error: The traceback's text of a failed one.
        private: Whether they may be sent to any address.
    """
    for webhook in job.webhooks:
        if webhook.job_status == status:
            try:
                _send(webhook, job, error, private=private)
            except Exception as trouble:  # noqa: BLE001 - as in RQ, an endpoint that is away fails no job
                log.warning("the webhook %s of job %s was not sent: %s", webhook.url, job.id, trouble,
                            extra={"action": "webhook_failed", "job": job.id})  # fmt: skip


def _send(webhook: Webhook, job: Job, error: str | None, *, private: bool) -> None:
    body, headers = None, dict(webhook.headers or {})
    if webhook.method == "POST":
        body = json.dumps(webhook.get_payload(job, exc_string=error), allow_nan=False).encode()
        headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(  # noqa: S310 - RQ's Webhook takes no other schemes than http and https
        webhook.url, data=body, headers=headers, method=webhook.method
    )
    with _opener(private=private).open(request, timeout=min(webhook.timeout, LONGEST)):
        pass


def _opener(*, private: bool) -> urllib.request.OpenerDirector:
    if private:
        return urllib.request.build_opener(_NoRedirect)
    return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}), _Http, _Https)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: the answer is an error, as any other that is no success."""


class _PublicConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self._create_connection = _connect
        super().connect()


class _PublicTLSConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        self._create_connection = _connect
        super().connect()


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_PublicConnection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_PublicTLSConnection, req)


def _connect(address: tuple[str, int], timeout: float, *_: Any) -> socket.socket:
    """As ``socket.create_connection``, to public addresses only.

    The name is looked up once, and what was looked at is what is connected to: a name that means something else
    the next time is of no use.
    """
    host, port = address
    refused: Exception = ForbiddenAddressError(f"{host} has no address")
    for family, kind, protocol, _name, found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not is_public(str(found[0])):
            refused = ForbiddenAddressError(
                f"{host} is {found[0]}, which is no public address; --allow-private-webhooks allows it"
            )
            continue
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(found)
        except OSError as error:
            connection.close()
            refused = error
        else:
            return connection
    raise refused


def is_public(address: str) -> bool:
    """Whether an address belongs to the open internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in _MAPPED:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast
