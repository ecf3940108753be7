"""What must hold of a map's keys after every step; it knows the schema, and nothing of how it is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from taskq.maps.body import read_header
from taskq.payload import codec
from taskq.payload.outcome import ItemFailure
from taskq.payload.ranges import Range
from taskq.redis import keys
from taskq.redis.keys import UNSEALED, MapKeys
from taskq_workers.settings import MAX_DEATHS
from tests.simulation.ledger import Ledger, Run
from tests.simulation.server import Server

_ROUNDED = 2e-6  # seconds: moments are written with six digits
_OWN = ("WorkerLostError", "ItemTimeoutError")  # errors that are not what an item has raised
_SMALL = (256, 32)  # bytes of a body, and of each of its items, that it may have besides: see cutting.py


class Violation(Exception):  # noqa: N818 - what it is for
    """Something is as it must never be."""


@dataclass
class Seen:
    """What stands in the keys of one map."""

    fields: dict[bytes, bytes]
    bodies: dict[bytes, bytes]
    pending: list[bytes]
    again: list[bytes]
    claims: dict[bytes, bytes]
    failed: list[bytes]
    results: list[bytes]
    spans: list[bytes]
    runs: dict[bytes, bytes] | None  # the same of a map that keeps no results
    errors: dict[bytes, bytes]
    groups: dict[bytes, bytes]
    later: list[bytes] = field(default_factory=list)
    copies: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return self.fields.get(b"state", b"").decode()

    def number(self, name: str) -> int:
        return int(self.fields.get(name.encode(), 0))

    @property
    def items(self) -> int:
        """How many there are; of an open map, so far."""
        total = self.number("total")
        return self.number("next") if total == UNSEALED else total

    @property
    def source(self) -> tuple[str, bytes]:
        """Id and incarnation of the map whose results are its items; "" and b"" if it has items of its own."""
        name, _, incarnation = self.fields.get(b"source", b"").partition(b" ")
        return name.decode(), incarnation

    @property
    def memo(self) -> tuple[str, str]:
        """Name and generation of its memo; "" for both: it has none."""
        told = json.loads(self.fields.get(b"terms", b"{}"))
        return told.get("memo", ""), told.get("memo_generation", "")

    def placed(self) -> list[int]:
        """Of which items the elements of the result list are."""
        found: list[int] = []
        for name, end in sorted((self.runs or {}).items()):
            kind, first = name.split()
            found += range(int(first), int(end)) if kind == b"from" else ()
        for span in self.spans:
            start, count = map(int, span.split(b":"))
            found += range(start, start + count)
        return found


@dataclass
class Memory:
    """What the oracle knew at a moment.

    Args:
        results: Of each map its incarnation, the length of its result list, and whether it was open.
        claims: Of each map what was claimed.
        handed: (incarnation, item) -> by which tokens it was last handed out, when, and to whom: of what runs
            twice by two.
        pushed: incarnation -> bytes of its bodies when it was announced.
        failed: incarnation -> the items that have failed at some time.
        claimed: incarnation -> when something of it was claimed, each time, by the server's clock.
        stored: run -> the generation of the memo of which its map was told, when its result was stored.
    """

    results: dict[str, tuple[bytes, int, bool]] = field(default_factory=dict)
    claims: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    handed: dict[tuple[bytes, int], dict[bytes, tuple[float, str]]] = field(default_factory=dict)
    pushed: dict[bytes, int] = field(default_factory=dict)
    failed: dict[bytes, set[bytes]] = field(default_factory=dict)
    claimed: dict[bytes, list[float]] = field(default_factory=dict)
    stored: dict[int, str] = field(default_factory=dict)


class Oracle:
    """Looks at all maps after each step.

    Args:
        pushes: incarnation -> number of the push; as producers draw them.
        plans: number of the push -> what its items do.
    """

    def __init__(self, server: Server, ledger: Ledger, pushes: dict[bytes, int], plans: dict[int, Any]) -> None:
        self._server, self._ledger = server, ledger
        self._pushes, self._plans = pushes, plans
        self.memory = Memory()
        self.ids: list[str] = []
        self.spoiled: set[bytes] = set()  # incarnations of which somebody has deleted a part
        self.looks = 0
        self.exact = False  # caps hold to the item: see ``Plan``

    def look(self, at: Iterable[str] | None = None) -> None:
        """See that all is as it must be.

        Args:
            at: Ids of maps; None: all of them.

        Raises:
            Violation: If not.
        """
        for map_id in self.ids if at is None else at:
            self._look_at(map_id)

    def _look_at(self, map_id: str) -> None:
        seen = self.see(map_id)
        if seen is None:
            self.memory.results.pop(map_id, None)
            self.memory.claims.pop(map_id, None)
            return
        if seen.fields.get(b"incarnation") in self.spoiled:
            return
        if seen.state not in ("open", "closed"):
            if seen.claims or seen.errors or (seen.results and not seen.memo[0]):
                raise Violation(f"{map_id}: somebody works on it, and it is not announced")
            return
        self.looks += 1
        for check in (
            self._whole, self._counted, self._in_one_place, self._bodies, self._new_results, self._errors,
            self._lives, self._capped, self._remembered, self._twice,
        ):  # fmt: skip
            problem = check(map_id, seen)
            if problem:
                raise Violation(f"{map_id}: {problem}")
        self._note_claims(map_id, seen)

    def see(self, map_id: str) -> Seen | None:
        """What stands in the keys of a map; None if there is none.

        Raises:
            Violation: If a part of it is left behind for ever.
        """
        k, value = MapKeys(map_id), self._server.value

        def table(key: str) -> dict[bytes, bytes]:
            found = value(key)
            return {} if found is None else found.getall()

        def row(key: str) -> list[bytes]:
            found = value(key) or []
            return found if isinstance(found, list) else []

        if value(k.hash) is None:
            for key in k.all[1:]:
                item = self._server.db.get(key.encode())
                if item is not None and item.expireat is None:
                    raise Violation(f"{map_id}: {key} is left behind, and never expires")
            return None
        return Seen(
            table(k.hash), table(k.bodies), row(k.pending), row(k.again), table(k.claims), row(k.failed),
            row(k.results), row(k.spans), _merged(value(k.spans)), table(k.errors), table(k.groups),
            [*(value(k.later) or ())], table(k.copies),
        )  # fmt: skip

    # -- what is checked -------------------------------------------------------------------------------

    def announced(self, map_id: str, incarnation: bytes, count: int) -> None:
        """I5: a push has returned; what stands there of it must be all of it.

        Raises:
            Violation: If not.
        """
        seen = self.see(map_id)
        if seen is not None and seen.fields.get(b"incarnation") == incarnation and seen.number("total") != count:
            raise Violation(f"{map_id}: {count} items were pushed, and it tells of {seen.number('total')}")

    def _whole(self, _map_id: str, seen: Seen) -> str:
        """I5: what workers see was announced."""
        return "" if b"total" in seen.fields else f"it is {seen.state}, and was never announced"

    def _counted(self, _map_id: str, seen: Seen) -> str:
        """I1: counters, results, spans and errors tell the same."""
        done, failed = seen.number("done"), seen.number("failed")
        placed = seen.placed()
        if seen.runs is not None and (problem := _not_merged(seen.runs)):
            return problem
        if not done == (len(placed) if seen.runs is not None else len(seen.results)) == len(placed):
            return f"done is {done}, there are {len(seen.results)} results, and spans tell of {len(placed)}"
        if len(set(placed)) < len(placed):
            twice = sorted(index for index, count in Counter(placed).items() if count > 1)
            return f"items {twice} have two results"
        if 0 < (most := self._plans[self._pushes[seen.fields[b"incarnation"]]].first) < done:
            return f"{done} results are stored, and {most} were enough"
        if failed != len(seen.errors):
            return f"failed is {failed}, and there are {len(seen.errors)} error records"
        counted = sum(int(one.split()[0]) for one in seen.groups.values())
        if counted != failed:
            return f"the groups count {counted} errors, of {failed}"
        if seen.errors and seen.number("first") != min(map(int, seen.errors)):
            return f"the first error is said to be of item {seen.number('first')}"
        return ""

    def _in_one_place(self, _map_id: str, seen: Seen) -> str:
        """I3: each item is pending, claimed, committed or failed, and in no two of them."""
        where: dict[int, list[str]] = {}
        for name, index in self._places(seen):
            where.setdefault(index, []).append(name)
        for index in self._taken(seen, where) if seen.source[0] else range(seen.items):
            there = where.pop(index, [])
            if len(there) != 1:
                return f"item {index} is {' and '.join(there) or 'nowhere'}"
        return f"there are items {sorted(where)} that nobody has pushed" if where else ""

    def _taken(self, seen: Seen, where: Iterable[int]) -> Iterable[int]:
        """The items which a map has that are another's results: as many of these as it says, the first ones."""
        if len(found := sorted(where)) != seen.number("next"):
            raise Violation(f"{seen.number('next')} results of another map were taken, and there are {found}")
        name, incarnation = seen.source
        source = self.see(name)
        if source is None or source.fields.get(b"incarnation") != incarnation or incarnation in self.spoiled:
            return found
        taken = int(seen.fields.get(b"taken", b"0 0 0").split()[2])
        return source.placed()[:taken]

    def _places(self, seen: Seen) -> Iterator[tuple[str, int]]:
        for name, entries in (
            ("pending", seen.pending),
            ("to be tried again", seen.again),
            ("failed", seen.failed),
            ("to be tried again later", seen.later),
        ):
            for entry in entries:
                for index in self._items(seen, *_parsed(entry)):
                    yield name, index
        for span, claim in seen.claims.items():
            for index in self._items(seen, span, claim.split()[2]):
                yield f"claimed by {claim.split()[3].decode()}", index
        for index in seen.placed():
            yield "done", index

    @staticmethod
    def _items(seen: Seen, span: bytes, body: bytes) -> list[int]:
        if body not in seen.bodies:
            raise Violation(f"the range {span.decode()} needs the body {body.decode()}, which is gone")
        return list(read_header(seen.bodies[body]).within(Range.parse(span)))

    def _bodies(self, _map_id: str, seen: Seen) -> str:
        """Bodies are stored once, and as long as they are needed."""
        entries = [_parsed(entry)[1] for entry in (*seen.pending, *seen.again, *seen.failed, *seen.later)]
        needed = {*entries, *(claim.split()[2] for claim in seen.claims.values())}
        if left := set(seen.bodies) - needed:
            return f"nobody needs the bodies {sorted(left)}"
        if b"feeder" in seen.fields or b"source" in seen.fields:
            return ""  # nobody knows here how much was put
        pushed = self.memory.pushed.setdefault(seen.fields[b"incarnation"], sum(map(len, seen.bodies.values())))
        # What has failed is stored apart, while others of its chunk still need the body that they came in.
        failed = self.memory.failed.setdefault(seen.fields[b"incarnation"], set())
        failed.update(seen.errors)
        failed.update(str(index).encode() for entry in seen.later for index in self._items(seen, *_parsed(entry)))
        most = pushed + len(failed) * pushed / seen.number("total") + sum(map(_small, seen.bodies.values()))
        stored = sum(map(len, seen.bodies.values()))
        return f"bodies of {stored} bytes are stored, and {pushed} were pushed" if stored > most else ""

    def _new_results(self, map_id: str, seen: Seen) -> str:
        """What was just stored is of this push, of its item, and of the run to which that was handed last."""
        incarnation = seen.fields[b"incarnation"]
        push = self._pushes[incarnation]
        before, count, was_open = self.memory.results.get(map_id, (incarnation, 0, True))
        first = count if before == incarnation else 0
        placed, hits = seen.placed(), seen.number("memo_hits")
        if len(placed) > first and before == incarnation and not was_open:
            return f"it was closed, and has got results of {placed[first:]}"
        if seen.runs is not None:
            self.memory.results[map_id] = incarnation, len(placed), seen.state == "open"
            return self._unrun(push, placed)
        for place, (index, data) in enumerate(zip(placed[first:], seen.results[first:], strict=True), first):
            value = codec.loads(data)
            if place < hits:
                if value.index != index or self.memory.stored.get(value.run) != seen.memo[1]:
                    return f"item {index} has got {value}, which was not in its memo"
                continue
            run = self._ledger.runs[value.run]
            if (value.function, value.item, value.index) != (push, push, index):
                return f"item {index} of push {push} has got {value}"
            handed = self.memory.handed.get((incarnation, index), {})
            if not any(run.began >= moment and run.service == worker for moment, worker in handed.values()):
                to = " and ".join(f"{worker} at {moment:.4f}" for moment, worker in handed.values())
                return (
                    f"item {index} has got the result of a run on {run.service} that began at {run.began:.4f}; it "
                    f"was handed to {to or 'nobody'}"
                )
            if problem := self._of_source(seen, index, run):
                return problem
            self.memory.stored[value.run] = seen.memo[1]
        self.memory.results[map_id] = incarnation, len(seen.results), seen.state == "open"
        return ""

    def _of_source(self, seen: Seen, index: int, run: Run) -> str:
        """What is stored of another map's result was made of just the one that stands there."""
        name, incarnation = seen.source
        source = self.see(name) if name else None
        if source is None or source.fields.get(b"incarnation") != incarnation or incarnation in self.spoiled:
            return ""
        there = dict(zip(source.placed(), source.results, strict=True)).get(index)
        if there is None or codec.loads(there) != run.item:
            return f"item {index} has got a result of {run.item}, which is not what {name} has"
        return ""

    def _remembered(self, _map_id: str, seen: Seen) -> str:
        """What is stored is in the memo of which the map was told, unless that has forgotten; else nothing is."""
        name, generation = seen.memo
        header = self._server.value(keys.memo(name)) if name else None
        entries = keys.memo_entries(name, generation)
        if header is None or header.getall()[b"entries"] != entries.encode():
            return ""
        found = self._server.value(entries)
        there = {} if found is None else found.getall()
        if missing := [index for index in seen.placed() if b"%d" % index not in there]:
            return f"the items {missing} have results, and the memo has none of them"
        for key, data in there.items():
            value = codec.loads(data.partition(b"\n")[2])
            if key != b"%d" % value.index or self.memory.stored.get(value.run) != generation:
                return f"the memo has {value} under {key!r}, which was not stored"
        return ""

    def _unrun(self, push: int, placed: list[int]) -> str:
        """What is counted, and was not kept, has at least run to its end."""
        ran = {run.index for run in self._ledger.runs if run.push == push and run.ended}
        return f"items {sorted(set(placed) - ran)} are counted, and have not run" if set(placed) - ran else ""

    def _lives(self, map_id: str, seen: Seen) -> str:
        """No key of an open map has a limit: it would be gone in the middle, if it ran for longer."""
        if seen.state != "open":
            return ""
        for key in MapKeys(map_id).all:
            item = self._server.db.get(key.encode())
            if item is not None and item.expireat is not None:
                return f"it is open, and {key} expires in {item.expireat - self._server.time:g} s"
        return ""

    def _errors(self, _map_id: str, seen: Seen) -> str:
        """I6: who has failed is who was to fail."""
        push = self._pushes[seen.fields[b"incarnation"]]
        for field_name, data in seen.errors.items():
            failure = ItemFailure.from_json(data)
            order = self._plans[push]
            what = order.items.get(failure.index, "")
            if int(field_name) != failure.index:
                return f"at {field_name!r} stands an error of item {failure.index}"
            deaths = self._ledger.deaths.get((push, failure.index), 0)
            if failure.type == "SourceFailedError":
                if problem := self._passed(seen, failure.index):
                    return problem
                continue
            sound = {
                # What ran in services that are lost with their hosts nobody knows: all that they held may have.
                "WorkerLostError": deaths >= (1 if self._ledger.lost >= MAX_DEATHS - 1 else 2),
                "ItemTimeoutError": what == "long" or self._ledger.was_stopped(push, failure.index),
            }.get(failure.type, what.startswith("fails"))
            if failure.type not in _OWN:
                sound = sound and failure.attempts == order.item_tries + 1
                sound = sound and not (what == "fails once" and order.item_tries)
            if not sound:
                return f"item {failure.index} ({what or 'innocent'}, {deaths} deaths) has failed: {failure.type}"
        return ""

    def _passed(self, seen: Seen, index: int) -> str:
        """What has failed since its source had no result for it: just that."""
        name, incarnation = seen.source
        source = self.see(name)
        if index in [one for _name, one in self._places(seen)]:
            return f"item {index} has failed as it did in {name}, and there is one besides"
        if source is None or source.fields.get(b"incarnation") != incarnation or incarnation in self.spoiled:
            return ""
        # A retry of the source begins with forgetting what has failed.
        again = any(index in self._items(source, *_parsed(one)) for one in (*source.pending, *source.again))
        claimed = any(
            index in self._items(source, span, claim.split()[2]) for span, claim in source.claims.items()
        )
        known = str(index).encode() in source.errors or again or claimed or index in source.placed()
        return "" if known else f"item {index} has failed as it did in {name}, where it has not"

    def _capped(self, map_id: str, seen: Seen) -> str:
        """No more is claimed than may run; and of a map with a rate, within its time."""
        incarnation, known = seen.fields[b"incarnation"], self.memory.claims.get(map_id, {})
        order, moments = self._plans[self._pushes[incarnation]], self.memory.claimed.setdefault(incarnation, [])
        if order.max_running and len(seen.claims) > order.max_running:
            return f"{len(seen.claims)} ranges are claimed, and {order.max_running} may run"
        before = {claim.split()[0] for claim in known.values()}
        moments += [self._server.time for claim in seen.claims.values() if claim.split()[0] not in before]
        if order.rate and self.exact:
            most, _, unit = order.rate.partition("/")
            seconds = {"s": 1.0, "m": 60.0}[unit]
            recent = [one for one in moments if one > self._server.time - seconds + _ROUNDED]
            if len(recent) > int(most):
                return f"{len(recent)} items were claimed within {seconds:g} s, by a rate of {order.rate}"
        return ""

    def _twice(self, map_id: str, seen: Seen) -> str:
        """Only what is claimed runs twice, and only of a map that was told so, by two claims."""
        order = self._plans[self._pushes[seen.fields[b"incarnation"]]]
        if seen.copies and not order.speculates:
            return f"{sorted(seen.copies)} run twice, and were not to"
        if left := {span for span, held in seen.copies.items() if seen.claims.get(span) in (None, held)}:
            return f"{sorted(left)} have a second claim and no first one"
        return ""

    def _note_claims(self, map_id: str, seen: Seen) -> None:
        known, now = self.memory.claims.get(map_id, {}), {}
        for span, claim in seen.claims.items():
            now[span] = claim + b" + " + seen.copies.get(span, b"")
            if known.get(span) == now[span]:
                continue
            held = [one for one in (claim, seen.copies.get(span, b"")) if b" " in one]
            tokens = {one.split()[0]: one.decode().split(" ", 3)[3] for one in held}
            for index in self._items(seen, span, claim.split()[2]):
                at = seen.fields[b"incarnation"], index
                before, moment = self.memory.handed.get(at, {}), self._server.loop.now
                self.memory.handed[at] = {one: before.get(one, (moment, to)) for one, to in tokens.items()}
        self.memory.claims[map_id] = now


def _merged(found: Any) -> dict[bytes, bytes] | None:
    return None if found is None or isinstance(found, list) else found.getall()


def _not_merged(runs: dict[bytes, bytes]) -> str:
    """What stands there of a map that keeps no results: as little as can be, by both its ends."""
    pairs = [(*name.split(), other) for name, other in runs.items()]
    begin = sorted((int(one), int(other)) for kind, one, other in pairs if kind == b"from")
    if begin != sorted((int(other), int(one)) for kind, one, other in pairs if kind == b"to"):
        return f"runs of items are {runs}"
    touching = [end for (_start, end), (start, _end) in pairwise(begin) if end >= start]
    return f"runs of items touch at {touching}" if touching else ""


def _small(body: bytes) -> int:
    return _SMALL[0] + _SMALL[1] * len(read_header(body).indexes)


def _parsed(entry: bytes) -> tuple[bytes, bytes]:
    """Of an entry of a list its range, and the body it needs."""
    span, *more = entry.split(b" ")
    return span, more[1] if len(more) > 1 else span
