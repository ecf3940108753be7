"""OpenTelemetry: producer, job and chunks are one trace, recorded by the SDK's own exporter in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from redis import Redis

from taskq import Queue
from taskq.payload.outcome import ChunkOutcome, Part
from taskq.payload.ranges import Range
from taskq.testing import running_worker
from taskq.views.timeline import TimelineNote
from taskq_workers.service.core.state import State
from tests import jobs
from tests.waiting import HANGS, wait_until


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What was recorded; OpenTelemetry itself allows one provider in the life of a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def named(spans: InMemorySpanExporter, start: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name.startswith(start)]


def ids(span: Any) -> tuple[int, int]:
    return span.context.trace_id, span.context.span_id


def parent(span: ReadableSpan) -> tuple[int, int]:
    assert span.parent is not None
    return span.parent.trace_id, span.parent.span_id


def test_a_map(real_queue: Queue, spans: InMemorySpanExporter) -> None:
    with running_worker(real_queue, processes=2):
        with trace.get_tracer("mine").start_as_current_span("mine"):
            job = real_queue.map(jobs.invert, [1, 2, 0, 4], chunksize=2, job_id="traced")
        job.wait(HANGS)
        wait_until(lambda: named(spans, "map"), "the job's span has ended")
    [mine], [push], [run] = named(spans, "mine"), named(spans, "push invert"), named(spans, "map invert")
    chunks = sorted(named(spans, "chunk"), key=lambda span: span.name)
    assert parent(push) == ids(mine)
    assert parent(run) == ids(push)
    assert [parent(chunk) for chunk in chunks] == [ids(run)] * 2
    assert (push.kind, run.kind, chunks[0].kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.INTERNAL)
    assert run.status.status_code is StatusCode.ERROR
    assert run.status.description
    attributes = [dict(one.attributes or {}) for one in chunks]
    assert [(one["taskq.chunk"], one["taskq.failed"]) for one in attributes] == [("0:2", 0), ("2:2", 1)]
    for chunk in chunks:
        assert chunk.attributes is not None
        assert chunk.attributes["taskq.job"] == "traced"
        assert chunk.start_time is not None
        assert chunk.end_time is not None
        assert chunk.start_time <= chunk.end_time


def test_a_plain_job(real_queue: Queue, spans: InMemorySpanExporter) -> None:
    with running_worker(real_queue, processes=1):
        done = real_queue.enqueue(jobs.square, 3)
        assert done.latest_result(timeout=HANGS).return_value == 9
        real_queue.enqueue(jobs.invert, 0)
        wait_until(lambda: len(named(spans, "tests.jobs")) == 2)
    pushes = {span.name.removeprefix("push "): span for span in named(spans, "push")}
    runs = {span.name: span for span in named(spans, "tests.jobs")}
    assert set(pushes) == set(runs) == {"tests.jobs.square", "tests.jobs.invert"}
    for name, run in runs.items():
        assert parent(run) == ids(pushes[name])
    assert runs["tests.jobs.square"].status.status_code is StatusCode.UNSET
    assert "ZeroDivisionError" in (runs["tests.jobs.invert"].status.description or "")


def test_a_producer_without_spans(real_queue: Queue, spans: InMemorySpanExporter, server_url: str) -> None:
    """The job's span is then the first; nor does it matter what stands in the field."""
    real_queue.map(jobs.square, [1], job_id="one")
    spans.clear()
    Redis.from_url(server_url).hset("taskq:{one}", "trace", '{"traceparent": 7}')
    Redis.from_url(server_url).hset(real_queue.enqueue(jobs.square, 1).key, "taskq_trace", "nonsense")
    with running_worker(real_queue, processes=1):
        wait_until(lambda: len([*named(spans, "map"), *named(spans, "tests.jobs")]) == 2)
    assert [span.parent for span in (*named(spans, "map"), *named(spans, "tests.jobs"))] == [None, None]


def test_a_guest_s_chunks_are_the_owner_s_children(
    real_queue: Queue, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    flag = tmp_path / "flag"
    with running_worker(real_queue, processes=1) as one, running_worker(real_queue, processes=1) as two:
        job = real_queue.map(jobs.wait_for, [str(flag)] * 24, chunksize=1)
        for state in (one, two):
            wait_until(lambda state=state: any(run.flying for run in list(state.maps)), "both work on it")
        flag.touch()
        job.wait(HANGS)
        wait_until(lambda: named(spans, "map"))
        wait_until(lambda: len(named(spans, "chunk")) == 24, "the guest has told of its own, too")
    [run] = named(spans, "map")
    chunks = named(spans, "chunk")
    assert {parent(chunk) for chunk in chunks} == {ids(run)}
    assert len({dict(chunk.attributes or {})["taskq.worker"] for chunk in chunks}) == 2


def test_a_chunk_that_was_asked_back_as_it_began_has_no_span(spans: InMemorySpanExporter) -> None:
    """Nothing of it has run; what runs of it later has."""
    context = json.dumps({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    run, claim, note = Mock(guest=False, context=context), Mock(range=Range(0, 2)), TimelineNote("h", "w", 1, 0)
    for outcome in (
        ChunkOutcome([], [], [], 1.0, 0.1, rest=[Part(Range(0, 2))]),
        ChunkOutcome([b"x"], [(0, 1)], [], 2.0, 0.1, rest=[Part(Range(1, 1))]),
    ):
        State.committed(Mock(), run, claim, outcome, note)
    [span] = named(spans, "chunk")
    assert dict(span.attributes or {})["taskq.items"] == 1


def test_nothing_is_imported_for_it() -> None:
    """Nor does it matter that OpenTelemetry is not installed."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from taskq.testing import drain, make_fake_queue\n"
        "from tests import jobs\n"
        "queue = make_fake_queue()\n"
        "job = queue.map(jobs.square, [3]); plain = queue.enqueue(jobs.square, 4)\n"
        "drain(queue)\n"
        "print(job.get(), plain.return_value())\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=False)
    assert done.stdout == "[9] 16\n", done.stderr
