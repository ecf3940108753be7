"""A worker's part in the protocol of a map, done by hand; and what must hold of a map whatever workers do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from taskq.errors import ReplacedError, ResultsGoneError
from taskq.maps.body import Body, Header, read_header
from taskq.maps.claim import Claim
from taskq.maps.reader import MapReader
from taskq.maps.store import MapStore
from taskq.maps.terms import NONE, Terms
from taskq.payload import codec
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Part, Totals
from taskq.payload.ranges import Range
from taskq.redis import keys
from taskq.views.timeline import TimelineNote

NOTE = TimelineNote("host", "worker-a", 17, 3)
A, B = "worker-a", "worker-b"


def claim(store: MapStore, count: int = 1, worker: str = A) -> list[Claim]:
    return store.read_claims(store.claim(worker, count), worker).claims


def outcome(store: MapStore, claimed: Claim, failing: Iterable[int] = (), stop: int | None = None) -> ChunkOutcome:
    """What running the range gives: each item itself, failures for some, and from item ``stop`` on nothing yet."""
    body, bad = Body.read(store.keys, claimed.body, _terms(store).follows), set(failing)
    indexes, at, _items = body.within(claimed.range)
    ran = [index for index in indexes if stop is None or index < stop]
    good = [index for index in ran if index not in bad]
    failures = [ItemFailure(index, "ValueError", "x") for index in ran if index in bad]
    left = [at + number for number, index in enumerate(ran) if index in bad]
    rest = range(at + len(ran), at + len(indexes))
    return ChunkOutcome(
        [codec.dumps(index) for index in good], [(index, 1) for index in good], failures, 1.0, 0.5,
        [Part(*body.part(rest))] if rest else [], [Part(*body.part(left))] if left else [],
    )  # fmt: skip


def commit(store: MapStore, claimed: Claim, failing: Iterable[int] = (), stop: int | None = None) -> Totals:
    return put(store, claimed, outcome(store, claimed, failing, stop))


def put(store: MapStore, claimed: Claim, what: ChunkOutcome) -> Totals:
    return store.read_commit(store.commit(claimed, what, NOTE, terms=_terms(store)))


def _terms(store: MapStore) -> Terms:
    try:
        return store.info().terms
    except (ResultsGoneError, ReplacedError):  # as a service says it that has not heard of that
        return NONE


def give_back(store: MapStore, *claims: Claim, deaths: int | None = None) -> int:
    """Release what is held, with so many deaths; None: with those that were noted before."""
    pairs = [(one, one.deaths if deaths is None else deaths) for one in claims]
    return int(store.release(pairs))


def halve(store: MapStore, claimed: Claim, deaths: int = 0) -> int:
    """Divide what is held, with so many deaths for each half."""
    return int(store.divide(claimed, [(half, deaths) for half in claimed.halves()]))


# -- what there is ---------------------------------------------------------------------------------------


def failures_of(store: MapReader) -> dict[int, ItemFailure]:
    """Item index -> error record, by index."""
    return {one.index: one for one in sorted(store.each_failure(), key=lambda failure: failure.index)}


def everything(store: MapStore) -> dict[str, Any]:
    """All that is stored of the map, and the timeline; None for a key that does not exist."""
    connection = store.connection
    read: dict[bytes, Callable[[str], Any]] = {
        b"hash": connection.hgetall,
        b"list": lambda name: connection.lrange(name, 0, -1),
        b"string": connection.get,
        b"stream": connection.xrange,
        b"none": lambda _name: None,
    }
    return {name: read[connection.type(name)](name) for name in (*store.keys.all, keys.TIMELINE)}


def entries(store: MapStore, key: str) -> list[str]:
    """The entries of a list of ranges, as they stand there."""
    return [entry.decode() for entry in store.connection.lrange(key, 0, -1)]


def pending(store: MapStore) -> list[str]:
    return entries(store, store.keys.pending)


def names(claims: Iterable[Claim]) -> list[str]:
    return [str(one.range) for one in claims]


def held(store: MapStore, worker: str) -> dict[str, int]:
    """Range -> deaths of what this worker holds."""
    return {str(one.range): one.deaths for one in sorted(store.held_by(worker), key=lambda one: one.range)}


def items_of(store: MapStore, claimed: Claim) -> list[Any]:
    body = Body.read(store.keys, claimed.body)
    return [body.loads(item) if body.loads else item for item in body.within(claimed.range)[2]]


def results(store: MapStore) -> list[Any]:
    return [codec.loads(data) for data in store.results.read()]


def placed(store: MapStore) -> list[int]:
    return [index for start, count in store.spans(0, 10**6) for index in range(start, start + count)]


def bodies(store: MapStore) -> dict[str, bytes]:
    return {name.decode(): data for name, data in store.connection.hgetall(store.keys.bodies).items()}


def uses(store: MapStore) -> dict[str, int]:
    return {name.decode(): int(count) for name, count in store.connection.hgetall(store.keys.uses).items()}


# -- what must hold --------------------------------------------------------------------------------------


def consistent(store: MapStore) -> None:
    """Each item is in one place (I3), the counters agree, and each body is there as long as it is needed."""
    k, info = store.keys, store.info()
    assert info.done == len(results(store)) == len(placed(store))
    assert results(store) == placed(store)
    errors = failures_of(store)
    assert info.failed == len(errors)
    assert info.first == min(errors, default=None)
    assert sum(group.count for group in store.groups()) == len(errors)
    headers = {name: read_header(data) for name, data in bodies(store).items()}
    assert all(name == str(header.range) for name, header in headers.items())
    needed: Counter[str] = Counter()
    waiting = _needs(headers, [*pending(store), *entries(store, k.again)], needed)
    claimed = _needs(headers, [f"{one.range} 0 {one.within}" for one in store.claims()], needed)
    failed = _needs(headers, entries(store, k.failed), needed)
    assert sorted(failed) == sorted(errors), "what is to be done again is what has failed"
    assert Counter(waiting + claimed + failed + placed(store)) == Counter(range(info.total))
    counted = uses(store)
    assert set(counted) <= set(headers)
    assert {name: counted.get(name, len(header.indexes)) for name, header in headers.items()} == dict(needed)


def _needs(headers: dict[str, Header], ranges: list[str], needed: Counter[str]) -> list[int]:
    found: list[int] = []
    for entry in ranges:
        name, _, more = entry.partition(" ")
        body = more.partition(" ")[2] or name
        inside = headers[body].within(Range.parse(name))
        needed[body] += len(inside)
        found += inside
    return found


def saved(store: MapStore) -> Callable[[], None]:
    """Have the map's keys as they are now again, later: a server that comes back as it was before."""
    found = {key: store.connection.dump(key) for key in store.keys.all}

    def restore() -> None:
        store.connection.delete(*found)
        for key, data in found.items():
            if data is not None:
                store.connection.restore(key, 0, data)

    return restore
