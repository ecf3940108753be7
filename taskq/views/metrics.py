"""The numbers for Prometheus, of everything that works on one Redis.

    from taskq.views.metrics import CONTENT_TYPE, exposition
    body = exposition(connection)     # bytes, to be served as CONTENT_TYPE under /metrics

Services add what they have counted to one hash in Redis (``taskq:metrics``, about once a second), so that the
counters stay monotonic whoever dies, and any place that reaches Redis can show all of them: ``taskq worker
--metrics-port`` on each host, and the page. What can be looked up is looked up at the scrape: queues, chunks
outstanding, services. Several targets show the same numbers: aggregate with ``max``, not with ``sum``.

The table of metrics is ``COUNTERS``, ``HISTOGRAMS`` and ``GAUGES``: name without suffix -> what it means, labels.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from taskq.redis import checked, keys, refusals
from taskq.views import activity, backlog

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]

COUNTERS: dict[str, tuple[str, Labels]] = {
    "taskq_items": ("Items of maps that have ended, by outcome: done or failed.", ("outcome",)),
    "taskq_chunks": ("Chunks committed, and parts of chunks that were cut.", ()),
    "taskq_jobs": (
        "Jobs that have ended, by kind (map or plain) and outcome: finished, failed, stopped or retried.",
        ("kind", "outcome"),
    ),
    "taskq_pool_process_deaths": (
        "Pool processes that died with work, by cause: a signal's name, exit, timeout, or killed (unwanted).",
        ("cause",),
    ),
    "taskq_chunk_reruns": (
        "Chunks that go to another process because theirs died, by who died: process or service.",
        ("cause",),
    ),
    "taskq_chunk_copies": ("Chunks that were begun a second time while the first run goes on (speculate).", ()),
    "taskq_services_lost": ("Services that died, or were given up for dead, and whose work others took over.", ()),
    "taskq_refused": ("Jobs and chunks refused for security, by reason: signature or import.", ("reason",)),
    "taskq_redis_errors": ("Turns of services that failed because Redis could not be reached, or refused.", ()),
}

HISTOGRAMS: dict[str, tuple[str, Labels, tuple[float, ...]]] = {
    "taskq_chunk_seconds": (
        "How long committed chunks ran.", (), (0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800),
    ),
    "taskq_job_seconds": (
        "How long jobs took, from their start to their end, by kind: map or plain.", ("kind",),
        (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 60, 300, 1800, 7200),
    ),
    "taskq_commit_seconds": (
        "From the end of a chunk in its process until Redis has stored it.", (),
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10),
    ),
}  # fmt: skip

GAUGES: dict[str, tuple[str, Labels]] = {
    "taskq_queue_jobs": ("Jobs of a queue in RQ's queue and registries, by status.", ("queue", "status")),
    "taskq_chunks_outstanding": (
        "Chunks to be done, waiting or claimed by a service; a plain job is one chunk. What an autoscaler needs.",
        ("queue", "state"),
    ),
    "taskq_maps": ("Maps that run (started) or wait (queued).", ("queue", "status")),
    "taskq_services": ("Services whose lease is not over, by host.", ("host",)),
    "taskq_pool_processes": ("Pool processes of a service, by state: busy or idle.", ("host", "pid", "state")),
    "taskq_service_memory_bytes": ("Resident memory of a service without its pool processes.", ("host", "pid")),
    "taskq_pool_memory_bytes": ("Resident memory of a service's pool processes together.", ("host", "pid")),
}

SUM = "sum"

_SERIES = 1000  # of one metric that are shown; ours have a few dozen
_GREATEST = 1e18


@lru_cache(maxsize=1000)  # asked several times for each job, and it is always one of a few
def field(name: str, *labels: str) -> str:
    """The field of ``taskq:metrics`` for a counter; for a histogram, ``labels`` end with a bucket or ``SUM``."""
    return "|".join((name, *labels))


def bucket(name: str, value: float) -> str:
    """The upper bound of the histogram's bucket that the value falls into."""
    bounds = HISTOGRAMS[name][2]
    position = bisect_left(bounds, value)
    return str(bounds[position]) if position < len(bounds) else "+Inf"


def exposition(connection: Any) -> bytes:
    """All metrics in Prometheus's text format.

    Args:
        connection: To the Redis in question.

    Raises:
        redis.exceptions.RedisError: If it can't be reached: answer 503, so that Prometheus sees the target down.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Reading(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from families

    families = [*_counted(connection), *_looked_up(connection)]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Reading())
    return generate_latest(registry)


def _counted(connection: Any) -> Iterator[Metric]:
    """What the services have counted; a metric without labels is there from the start, with zero."""
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    numbers: dict[str, dict[Labels, float]] = defaultdict(dict)
    for raw, value in _told(connection).items():
        name, *words = checked.text(raw).split("|")
        number = _number(value)
        if number is not None and len(words) == _labels_of(name) and len(numbers[name]) < _SERIES:
            numbers[name][tuple(words)] = number
    numbers["taskq_refused"] = {(kind,): float(count) for kind, count in refusals.counted(connection).items()}
    for name, (text, labels) in COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=labels)
        for values, number in sorted((numbers[name] or _zero(labels)).items()):
            counter.add_metric(values, number)
        yield counter
    for name, (text, labels, bounds) in HISTOGRAMS.items():
        histogram = HistogramMetricFamily(name, text, labels=labels)
        count = len(labels)
        for values in sorted({one[:count] for one in numbers[name]} or set(_zero(labels))):
            buckets = list(_cumulated(numbers[name], values, bounds))
            histogram.add_metric(values, buckets, numbers[name].get((*values, SUM), 0.0))
        yield histogram


def _told(connection: Any) -> dict[bytes, bytes]:
    with connection.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.METRICS)
        [found] = pipe.execute(raise_on_error=False)
    return checked.reply(found, {})


def _number(value: bytes) -> float | None:
    """What a service has counted; None if that is no count: anybody may have written there."""
    try:
        number = float(value[:64])
    except ValueError:
        return None
    return number if 0 <= number <= _GREATEST else None


def _labels_of(name: str) -> int:
    """How many labels a field of ``taskq:metrics`` has; of a histogram, the bucket is one."""
    if name in HISTOGRAMS:
        return len(HISTOGRAMS[name][1]) + 1
    return len(COUNTERS[name][1]) if name in COUNTERS else -1


def _zero(labels: Labels) -> dict[Labels, float]:
    return {} if labels else {(): 0.0}


def _cumulated(
    numbers: dict[Labels, float], values: Labels, bounds: tuple[float, ...]
) -> Iterator[tuple[str, float]]:
    total = 0.0
    for bound in (*bounds, math.inf):
        text = "+Inf" if bound == math.inf else str(bound)
        total += numbers.get((*values, text), 0.0)
        yield text, total


def _looked_up(connection: Any) -> list[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    gauges = {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()}

    def add(name: str, number: float, *labels: object) -> None:
        gauges[name].add_metric([str(label) for label in labels], number)

    for queue in backlog.read_queues(connection):
        for status, count in queue.jobs.items():
            add("taskq_queue_jobs", count, queue.name, status)
        add("taskq_chunks_outstanding", queue.waiting, queue.name, "waiting")
        add("taskq_chunks_outstanding", queue.claimed, queue.name, "claimed")
        for status in ("started", "queued"):
            add("taskq_maps", sum(one.status == status for one in queue.maps), queue.name, status)
    services = activity.live(connection)
    for host, count in _count(one.host for one in services).items():
        add("taskq_services", count, host)
    for one in services:
        add("taskq_pool_processes", one.busy, one.host, one.pid, "busy")
        add("taskq_pool_processes", len(one.processes) - one.busy, one.host, one.pid, "idle")
        add("taskq_service_memory_bytes", one.memory, one.host, one.pid)
        add("taskq_pool_memory_bytes", sum(process.memory for process in one.processes), one.host, one.pid)
    return list(gauges.values())


def _count(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return counts
