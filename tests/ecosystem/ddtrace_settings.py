"""Settings of a project that uses ddtrace: spans go into a Redis list, and nothing to Datadog."""

from __future__ import annotations

from ddtrace import patch
from ddtrace.trace import Span, TraceFilter, tracer

from tests.ecosystem.common import tell


class ToRedis(TraceFilter):
    def process_trace(self, trace: list[Span]) -> list[Span] | None:
        tell(*map(shown, trace))
        return None  # so that it is sent to nobody


def shown(span: Span) -> dict[str, object]:
    return {
        "name": span.name,
        "resource": span.resource,
        "service": span.service,
        "trace": format(span.trace_id, "x"),
        "error": span.error,
        "tags": {key: span.get_tag(key) for key in ("job.id", "job.status", "job.origin", "error.message")},
    }


tracer.configure(trace_processors=[ToRedis()])
patch(rq=True)
