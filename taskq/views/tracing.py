"""OpenTelemetry spans, where OpenTelemetry is in use: producer -> job -> chunk.

    push square        the producer's, inside whatever span is current there
    └─ map square      the job's, by the service that owns it; of a plain job: its own
       ├─ chunk 0      by the service that ran it, made from the chunk's outcome: pool processes know nothing of it
       └─ chunk 1

A span's context travels as a field of the map's hash in Redis, or of RQ's job hash. In a process in which nobody
has set a tracer provider, nobody can have asked for spans, and there this costs next to nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskq.payload.outcome import ChunkOutcome

_NS = 1_000_000_000


def _trace() -> Any:
    """The module ``opentelemetry.trace``; None if nobody in this process uses it.

    redis-py imports it wherever it is installed; only who has set a tracer provider wants spans.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return trace


def active() -> bool:
    """Whether somebody in this process may want spans."""
    return _trace() is not None


@contextmanager
def pushing(name: str, job_id: str, queue: str) -> Iterator[str]:
    """A producer's span around the push of a job; yields its context for ``context``, "" if nobody records it."""
    trace = _trace()
    if trace is None:
        yield ""
        return
    attributes = {"taskq.job": job_id, "messaging.system": "taskq", "messaging.destination.name": queue}
    with trace.get_tracer("taskq").start_as_current_span(
        f"push {name}", kind=trace.SpanKind.PRODUCER, attributes=attributes
    ) as span:
        yield context_of(span)


def context_of(span: Any) -> str:
    """A span's context as text; "" if it is None, or not recorded."""
    if span is None or not span.is_recording():
        return ""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(span))
    return json.dumps(carrier, allow_nan=False)


def _context(text: str) -> Any:
    """The context that ``context_of`` wrote; an empty one if there was none, or it can't be read."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = {}
    # Anybody may have written there.
    carrier = {name: one for name, one in found.items() if isinstance(one, str)} if isinstance(found, dict) else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def begin_job(name: str, parent: str, attributes: dict[str, Any]) -> Any:
    """Begin a job's span; None if nobody records it.

    Args:
        name: Of the span.
        parent: Context of the producer's span; "": it has none.
        attributes: Of the span.
    """
    trace = _trace()
    if trace is None:
        return None
    span = trace.get_tracer("taskq").start_span(
        name, context=_context(parent), kind=trace.SpanKind.CONSUMER, attributes=attributes
    )
    return span if span.is_recording() else None


def end_job(span: Any, error: str | None) -> None:
    """End a job's span; ``error``: the traceback's text, None if the job succeeded."""
    if span is None:
        return
    from opentelemetry.trace import Status, StatusCode

    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error.strip().rpartition("\n")[2]))
    span.end()


def chunk(parent: str, name: str, outcome: ChunkOutcome, attributes: dict[str, Any]) -> None:
    """Record a chunk that has run. ``parent``: context of its job's span; "": nothing is recorded."""
    trace = _trace()
    if trace is None or not parent:
        return
    started = int(outcome.started * _NS)
    span = trace.get_tracer("taskq").start_span(
        f"chunk {name}",
        context=_context(parent),
        start_time=started,
        attributes={
            **attributes,
            "taskq.chunk": name,
            "taskq.items": outcome.succeeded + len(outcome.failures),
            "taskq.failed": len(outcome.failures),
        },
    )
    span.end(started + int(outcome.seconds * _NS))
