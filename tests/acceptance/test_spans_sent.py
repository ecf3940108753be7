"""A real worker sends its spans by OTLP to where OpenTelemetry's own variables say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from taskq import Queue
from tests import jobs
from tests.acceptance.worker import Workers
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance


class Collector(HTTPServer):
    """Takes spans in."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], str]] = []  # attributes of the resource, name of the span
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        request: Any = ExportTraceServiceRequest()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        request.ParseFromString(body)
        for one in request.resource_spans:
            resource = {pair.key: pair.value.string_value for pair in one.resource.attributes}
            self.server.received += [(resource, span.name) for scope in one.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None: ...


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector(workers: Workers, real_queue: Queue, collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
    worker = workers.ready(2, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert real_queue.map(jobs.square, range(4), chunksize=2).get(HANGS) == [0, 1, 4, 9]
    wait_until(lambda: real_queue.finished_job_registry.get_job_count(cleanup=False) == 1)
    [name] = [info.name for info in worker.infos]
    assert worker.stop() == 0  # what has not been sent yet, is now
    wait_until(lambda: len(collector.received) == 3)
    assert sorted(span for _resource, span in collector.received) == ["chunk 0:2", "chunk 2:2", "map square"]
    for resource, _span in collector.received:
        assert (resource["service.name"], resource["service.instance.id"]) == ("taskq-worker", name)
