"""Settings of a project that uses sentry-sdk: what it sends, it sends into a Redis list.

As the transport that sends over HTTP, it holds everything back until it is told to send it: who forgets that loses
all, since RQ ends its processes by ``os._exit``.
"""

from __future__ import annotations

from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.rq import RqIntegration
from sentry_sdk.transport import Transport

from tests.ecosystem.common import tell

KINDS = ("event", "transaction")


class ToRedis(Transport):
    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self._held: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self._held += [shown(item.payload.json) for item in envelope.items if item.type in KINDS]

    def flush(self, timeout: float, callback: Any = None) -> None:  # noqa: ARG002 - the SDK's signature
        held, self._held = self._held, []
        if held:
            tell(*held)


def shown(sent: dict[str, Any]) -> dict[str, Any]:
    """What does not differ from one run to the next; of what does, whether it is there."""
    data = sent["extra"]["rq-job"]
    trace = sent["contexts"]["trace"]
    return {
        "type": sent.get("type", "event"),
        "rq-job": {key: key if key.endswith("_at") else value for key, value in data.items()},
        "transaction": sent.get("transaction"),
        "user": sent.get("user"),
        "tags": sent.get("tags"),
        "steps": [
            one["message"] for one in sent.get("breadcrumbs", {}).get("values", [])
            if str(one.get("message")).startswith("step of")
        ],
        "trace": trace.pop("trace_id"),
        "op": trace.get("op"),
        "status": trace.get("status"),
        "data": {key: value for key, value in trace.get("data", {}).items() if key.startswith("messaging")},
        "exceptions": [
            {"type": one["type"], "value": one["value"], "mechanism": one["mechanism"],
             "innermost": one["stacktrace"]["frames"][-1]["function"]}
            for one in sent.get("exception", {}).get("values", [])
        ],
    }  # fmt: skip


sentry_sdk.init(
    dsn="https://public@sentry.invalid/1",
    transport=ToRedis,
    integrations=[RqIntegration()],
    traces_sample_rate=1.0,
    send_default_pii=True,  # else the jobs' arguments are left out
)
