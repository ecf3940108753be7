"""What a node is told of the worker, and how both ends see that they are of one kind.

No secret is in it: whatever travels through a cluster's scheduler can be read there. Keys, and the password of
Redis for user code which opens it, come from the node's own environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from taskq.errors import OptionError, SignatureError
from taskq.payload import signing
from taskq.redis import keys
from taskq_workers import build
from taskq_workers.logs import LogOptions
from taskq_workers.rq_options import RQOptions
from taskq_workers.settings import Settings, Trust, Wear
from taskq_workers.user_code import UserCode

URL = "TASKQ_URL"  # of Redis, in the node's environment
_CHALLENGE = ("challenge", "node")


@dataclass(frozen=True)
class Spec:
    """What a node needs of the worker's settings.

    Args:
        name: Of the service.
        url: Of Redis, without name and password; for user code, where the node's environment has no ``TASKQ_URL``.
        lapse: Seconds without a word from the service after which the node ends its processes; 0.0: never.
    """

    name: str
    url: str
    allowed: tuple[str, ...]
    private_webhooks: bool
    wear: Wear
    path: tuple[str, ...]
    preload: tuple[str, ...]
    logs: LogOptions | None
    user: UserCode
    build: str
    lapse: float = 0.0

    def settings(self, processes: int) -> Settings:
        """Those of the node's lanes; keys and the URL of Redis are the node's own, if it has some.

        Raises:
            OptionError: If the keys in the node's environment are none.
        """
        trust = Trust(signing.keyring(), self.allowed, self.private_webhooks)
        return Settings(
            os.environ.get(URL) or self.url, processes=processes, trust=trust, wear=self.wear, path=self.path,
            preload=self.preload, logs=self.logs, build=self.build, rq=RQOptions(user=self.user),
        )  # fmt: skip


def of(settings: Settings, name: str, lapse: float = 0.0) -> Spec:
    """What the nodes of this worker's service are told."""
    trust = settings.trust
    return Spec(
        name, _without_password(settings.url), trust.allowed, trust.private_webhooks, settings.wear, settings.path,
        settings.preload, settings.logs, settings.rq.user, settings.build or build.installed(), lapse,
    )  # fmt: skip


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl() if parts.scheme != "unix" else f"unix://{parts.path}"


def challenge(ring: signing.Keyring) -> bytes:
    """What only who has one of our keys can read; b"" if there are none."""
    return ring.seal(*_CHALLENGE).close(os.urandom(16)) if ring else b""


def introduction(challenge: bytes) -> dict[str, str]:
    """On a node: of which kind it is, in plain data that any version can read."""
    return {"python": _python(), "build": build.installed(), "keys": _meets(challenge), "prefix": keys.PREFIX}


def _python() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _meets(challenge: bytes) -> str:
    """Why the node's keys are not the service's; "" if they are."""
    try:
        ring = signing.keyring()
        if bool(ring) != bool(challenge):
            return f"has {signing.VARIABLE} set, and the worker has not" if ring else f"has no {signing.VARIABLE}"
        if ring:
            ring.seal(*_CHALLENGE).open(challenge)
    except OptionError as error:
        return f"has no key: {error}"
    except SignatureError:
        return f"has another {signing.VARIABLE} than the worker"
    return ""


def refusal(node: Mapping[str, str], own_build: str) -> str:
    """Why a node can't do the work of this service; "" if it can."""
    if node["python"] != _python():
        return f"has Python {node['python']}, and the worker {_python()}"
    if node["build"] != own_build:
        return f"has taskq {node['build']}, and the worker {own_build}: install the same on both"
    if node["prefix"] != keys.PREFIX:
        return f"has keys that begin with {node['prefix']}, and the worker {keys.PREFIX}: TASKQ_KEY_PREFIX"
    return node["keys"]
