"""The entries of ``taskq:timeline``: which pool process ran which chunk, when, and what became of it.

Written in the commit itself (``maps/store.py``), and capped: old entries go as new ones come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskq.payload.outcome import ChunkOutcome
from taskq.redis import checked, keys

OK, KILLED, TIMEOUT, SERVICE = "ok", "killed", "timeout", "service"
WORDS = {
    KILLED: "its process died",
    TIMEOUT: "its process was killed over its time limit",
    SERVICE: "its service died",
}
_BATCH = 1000  # entries read in one round trip
_DIGITS = 10  # of a lane, a process id, a number of items, ...
_TEXTS = ("job", "host", "worker", "chunk", "outcome")
_COUNTS = ("lane", "pid", "items", "failed", "deaths")


@dataclass(frozen=True)
class TimelineNote:
    """Who ran a chunk, and how that ended, for the timeline."""

    host: str
    worker: str
    pid: int
    lane: int
    outcome: str = OK


@dataclass(frozen=True)
class TimelineEntry:
    """One run of one chunk.

    Args:
        id: Of the entry in the stream.
        start: Unix time, as ``end``.
        worker: RQ worker name of the service.
        lane: Number of the pool process's place in its service.
        deaths: Processes that this chunk had killed before: above 0, this is a re-run.
        outcome: ``"ok"``, or why the process died in it: one of ``WORDS``.
    """

    id: str
    job: str
    chunk: str
    start: float
    end: float
    host: str
    worker: str
    lane: int
    pid: int
    items: int
    failed: int
    deaths: int
    outcome: str = OK

    @property
    def row(self) -> tuple[str, str, int]:
        """Whose row in a drawing it belongs to; a service that was restarted goes on in its old rows."""
        return self.host, place_of(self.worker), self.lane


def fields(job_id: str, chunk: str, deaths: int, outcome: ChunkOutcome, note: TimelineNote) -> dict[str, Any]:
    """What is written of one run of a chunk, which had killed so many processes before."""
    return {
        "job": job_id,
        "chunk": chunk,
        "start": f"{outcome.started:.6f}",
        "end": f"{outcome.started + outcome.seconds:.6f}",
        "host": note.host,
        "worker": note.worker,
        "lane": note.lane,
        "pid": note.pid,
        "items": outcome.succeeded + len(outcome.failures),
        "failed": len(outcome.failures),
        "deaths": deaths,
        "outcome": note.outcome,
    }


def place_of(worker: str) -> str:
    """What all incarnations of a service have in common: its worker name without process id and random part."""
    return worker.rsplit("-", 2)[0] if worker.startswith("taskq-") else worker


def newest(connection: Any, most: int, after: str = "") -> Any:
    """The newest ``most`` entries, of those after the entry with this id; the reply is for ``read``.

    ``connection`` may be a pipeline, which then only queues the command.
    """
    return connection.xrevrange(keys.TIMELINE, min=f"({after}" if after else "-", count=most)


def read(reply: Iterable[Any]) -> list[TimelineEntry]:
    """The entries of a reply, oldest first; what is no entry of ours is left out."""
    entries = [entry for one in reply if (entry := _entry(*one)) is not None]
    return sorted(entries, key=lambda entry: tuple(map(int, entry.id.split("-"))))


def of_map(connection: Any, job_id: str, since: float, until: float) -> Iterator[TimelineEntry]:
    """The entries of one map that were written between two Unix times, oldest first; read in batches."""
    return (entry for entry in between(connection, since, until) if entry.job == job_id)


def between(connection: Any, since: float, until: float) -> Iterator[TimelineEntry]:
    """As ``of_map``, of all maps."""
    at: str | None = f"{int(since * 1000)}"
    last = f"{int(until * 1000) + 1000}"
    while at:
        with connection.pipeline(transaction=False) as pipe:
            pipe.xrange(keys.TIMELINE, min=at, max=last, count=_BATCH)
            [found] = pipe.execute(raise_on_error=False)
        reply: list[Any] = checked.reply(found, [])
        yield from read(reply)
        at = f"({reply[-1][0].decode()}" if len(reply) == _BATCH else None


def _entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> TimelineEntry | None:
    texts = {name: checked.text(fields.get(name.encode())) for name in _TEXTS}
    times = [checked.seconds(fields.get(name)) for name in (b"start", b"end")]
    counts = {name: fields.get(name.encode(), b"") for name in _COUNTS}
    sound = all(texts[name] for name in _TEXTS if name != "outcome") and all(map(_is_count, counts.values()))
    if not (sound and 0 < times[0] <= times[1]):  # anybody can write to a stream
        return None
    known: dict[str, Any] = {**texts, **{name: int(value) for name, value in counts.items()}}
    return TimelineEntry(
        id=entry_id.decode(), start=times[0], end=times[1], **{**known, "outcome": texts["outcome"] or OK}
    )


def _is_count(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _DIGITS
