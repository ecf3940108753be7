"""All that workers do to the chunks of a map in Redis: claimed, committed, released, divided.

One object per incarnation of a map and connection. Methods with a ``pipe`` argument run at once if it is None;
else they queue their command there, and its reply is read by the static method named beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.job import Job

from taskq.errors import DamagedError
from taskq.maps import deaths
from taskq.maps.claim import Claim, ClaimReply, new_token, parse
from taskq.maps.control import MapControl
from taskq.maps.info import MapInfo, read_info
from taskq.maps.refusal import Refusal
from taskq.maps.terms import NONE, Terms
from taskq.payload import codec
from taskq.payload.codec import Codec
from taskq.payload.outcome import ChunkOutcome, ItemFailure, Part, Totals
from taskq.payload.ranges import Range
from taskq.payload.tally import Tally
from taskq.redis import checked, holdings, keys
from taskq.redis.keys import MapField
from taskq.views import error_groups, timeline
from taskq.views.timeline import TimelineNote

_NOT_THERE, _TOO_MANY = -1, -2  # what commit.lua says
_STEP = 1000  # entries that one call of a script moves, or one round trip reads
KINDS = 1000  # of errors that are counted apart


class MapStore(MapControl):
    """The keys of one map: see ``MapControl``."""

    def open(self, owner: str, holding: str = "") -> MapInfo | None:
        """Become the owner; None if this incarnation is gone, or the job is not held any more. See open.lua.

        Args:
            owner: Name of a worker.
            holding: As what it holds the job (``Holding.key``); "" for a worker of RQ's, which has no index.
        """
        k = self.known
        others = (
            k.refusals, k.function, k.bodies, k.uses, k.results, k.spans, k.deaths, k.memo, k.blobs, k.later,
            k.copies, k.since, k.took, k.parts,
        )  # fmt: skip
        names = [k.hash, k.pending, k.again, k.claims, k.failed, k.errors, k.groups, Job.key_for(k.id)]
        names += [keys.held(owner), *others]
        reply: list[Any] = [b"more", b"0"]
        while reply[0] == b"more":
            args = [k.incarnation, owner, _STEP, reply[1], k.id, keys.OPEN, keys.NOTES, keys.WORK, holding]
            reply = self.scripts.open(names, args)
        if not reply[0]:
            return None
        flat = reply[1]
        return read_info(dict(zip(flat[::2], flat[1::2], strict=True)))

    # -- claims --------------------------------------------------------------------------------------

    def claim(self, worker: str, count: int, pipe: Any = None) -> Any:
        """Claim up to ``count`` ranges; the reply is for ``read_claims``."""
        k = self.known
        names = [k.hash, k.pending, k.again, k.claims, k.bodies, k.later, k.starts, k.since]
        return self.scripts.claim(names, [k.incarnation, worker, count, new_token()], pipe)

    def copy(self, worker: str, count: int, pipe: Any = None) -> Any:
        """Claim up to ``count`` ranges a second time that run too long; the reply is for ``read_claims``.

        There ``wait`` says in how many seconds one may be claimed so.
        """
        k = self.known
        names = [k.hash, k.pending, k.again, k.claims, k.bodies, k.copies, k.since, k.took]
        return self.scripts.copy(names, [k.incarnation, worker, count, new_token()], pipe)

    @staticmethod
    def read_claims(reply: list[Any], worker: str) -> ClaimReply:
        """What came of ``claim``.

        Raises:
            DamagedError: If the items of a range are gone, or no range is pending where one should be.
        """
        state, pending, wait, single, *flat = reply
        claims = []
        for name, token, killed, within, body in zip(*(flat[at::5] for at in range(5)), strict=True):
            span = Range.parse(name)
            if not body:
                raise DamagedError(f"the items {span.start} to {span.end - 1} are gone: they were deleted")
            claims.append(Claim(span, token.decode(), int(killed), Range.parse(within), worker, body))
        seconds = float(wait) if wait and not pending else None
        return ClaimReply(state.decode(), int(pending), claims, seconds, bool(single))

    def commit(
        self,
        claim: Claim,
        outcome: ChunkOutcome,
        note: TimelineNote,
        pipe: Any = None,
        terms: Terms = NONE,
        *,
        pause: float = 0.0,
    ) -> Any:
        """Store a range's outcome if the claim is still held; the reply is for ``read_commit``.

        Args:
            claim: Of the range.
            outcome: What has come out.
            note: For the timeline.
            pipe: See above.
            terms: Of the map: whether a memo gets the results, too, and how many are wanted.
            pause: Seconds until those of its items that are to be tried again may be.
        """
        k = self.known
        # All parts that did not run get the same number, so it is that of the smallest one.
        alone = len(claim.to_do) > 1 and any(len(claim.header.within(part.range)) == 1 for part in outcome.rest)
        entry = timeline.fields(k.id, str(claim.range), deaths.total(claim.deaths), outcome, note)
        kinds = error_groups.count(outcome.failures)
        stay = sum(
            len(claim.header.within(part.range))
            for part in (*outcome.rest, *outcome.left, *outcome.again)
            if not part.body
        )
        names = [
            k.hash, k.bodies, k.claims, k.results, k.spans, k.errors, keys.TIMELINE, k.pending, k.failed, k.uses,
            k.groups, k.again, k.later, k.copies, k.since, k.took,
        ]  # fmt: skip
        if terms.memo:
            names += [k.memo, keys.memo(terms.memo), keys.memo_entries(terms.memo, terms.memo_generation)]
        args = [
            k.incarnation, str(claim.range), claim.text, len(claim.header.indexes), len(claim.to_do) - stay,
            len(outcome.spans), len(outcome.failures), len(kinds), len(outcome.rest) + len(outcome.again),
            len(outcome.left),
            deaths.of_part(claim.deaths, alone=alone), keys.TIMELINE_LENGTH, k.events, PUBSUB_CHANNEL_TEMPLATE,
            KINDS, self._counted(outcome, terms), terms.first, f"{outcome.seconds:.6f}", 2 * len(entry),
            *(part for pair in entry.items() for part in pair),
            *(f"{start}:{count}" for start, count in outcome.spans),
            *self._records(outcome.failures),
            *(part for kind, (count, first) in kinds.items() for part in (kind, count, first)),
            *_flat(outcome.rest), *_later(outcome.again, deaths.after_try(claim.deaths), pause),
            *_flat(outcome.left), *outcome.values,
        ]  # fmt: skip
        return self.scripts.commit(names, args, pipe)

    def _counted(self, outcome: ChunkOutcome, terms: Terms) -> int | str:
        """Whether results are only counted; with a secret key what they add to the sum of what has run."""
        if not (outcome.discarded and terms.runs):
            return int(outcome.discarded)
        tally = Tally(terms.runs, self.known.id, self.known.incarnation)
        return tally.of((start, start + count) for start, count in outcome.spans if count)

    def _records(self, failures: list[ItemFailure]) -> Iterator[Any]:
        if failures:
            signer = self._error_codec
            for failure in failures:
                yield from (failure.index, signer.close(failure.to_json()))

    @staticmethod
    def read_commit(reply: list[Any]) -> Totals:
        """What came of ``commit``.

        Raises:
            DamagedError: If the outcome holds what is not in the range: nothing was stored.
        """
        if reply[0] == _NOT_THERE:
            raise DamagedError("what came out of a chunk does not fit the items that it was given")
        if reply[0] == _TOO_MANY:
            return Totals(committed=False, room=reply[1])
        if not reply[0]:
            return Totals(committed=False)
        done, failed, total, pending, *followers = reply[1:]
        return Totals(committed=True, done=done, failed=failed, total=total, pending=pending,
                      followers=followers[0].decode("utf-8", "replace") if followers else "")  # fmt: skip

    def note_traces(self, traces: Mapping[str, str]) -> None:
        """Keep what is known of the deaths of services that ran these ranges, while there is such a map."""
        flat = [part for pair in traces.items() for part in pair]
        self.scripts.trace([self.known.hash, self.known.deaths], [self.known.incarnation, *flat])

    def note_death(self, claim: Claim, note: TimelineNote, began: float, seconds: float, pipe: Any) -> None:
        """Queue a timeline entry for a run of the range that ended in the death of its process."""
        lost = ChunkOutcome([], [], [], began, seconds)
        fields = timeline.fields(self.keys.id, str(claim.range), deaths.total(claim.deaths), lost, note)
        pipe.xadd(keys.TIMELINE, fields, maxlen=keys.TIMELINE_LENGTH, approximate=True)

    def release(self, claims: Iterable[tuple[Claim, int]], pipe: Any = None) -> Any:
        """Give ranges back, each with the deaths to note; the reply is how many were still held."""
        k = self.known
        flat = [part for claim, noted in claims for part in (str(claim.range), claim.text, noted)]
        return self.scripts.release(self._of_claims, [k.incarnation, *flat], pipe)

    def divide(self, claim: Claim, parts: Iterable[tuple[Range, int]], pipe: Any = None) -> Any:
        """Replace a claimed range by pending parts, each with the deaths to note; replies whether it was held."""
        k = self.known
        flat = [one for span, noted in parts for one in (str(span), noted)]
        args = [k.incarnation, str(claim.range), claim.text, len(claim.header.indexes), *flat]
        names = [k.hash, k.pending, k.claims, k.uses, k.copies, k.since]
        return self.scripts.split(names, args, pipe)

    def give(self, claim: Claim, *, alone: bool = True) -> Claim | None:
        """Note that a process is given a range of which a service has died; None if it is not held any more.

        Args:
            claim: Of the range.
            alone: False: note the contrary, since others run beside it.
        """
        told = replace(claim, deaths=(deaths.given if alone else deaths.settled)(claim.deaths))
        k = self.known
        held = self.scripts.given([k.hash, k.claims], [k.incarnation, str(claim.range), claim.text, told.text])
        return told if held else None

    def refuse(self, refusal: Refusal, pipe: Any = None) -> Any:
        """Note that a worker can't run this map."""
        k = self.known
        args = [k.incarnation, refusal.worker, refusal.to_json(), checked.clean(str(refusal))]
        return self.scripts.refuse([k.hash, k.refusals], args, pipe)

    # -- what others hold ------------------------------------------------------------------------------

    def claims(self) -> Iterator[Claim]:
        """Every claim there is, without bodies; a batch of them is in memory at a time."""
        return self._claims_in(self.keys.claims)

    def copies(self) -> Iterator[Claim]:
        """Second claims, of ranges that run twice."""
        return self._claims_in(self.keys.copies)

    def _claims_in(self, key: str) -> Iterator[Claim]:
        for name, held in self.connection.hscan_iter(key, count=_STEP):
            if (claim := parse(name, held)) is not None:
                yield claim

    def held_by(self, worker: str) -> list[Claim]:
        """What this worker holds; the server sends no more than that, whatever others hold."""
        found, at = [], b"0"
        while True:
            at, *flat = self.scripts.claimed([self.keys.claims, self.keys.copies], [worker, at, _STEP])
            pairs = zip(flat[::2], flat[1::2], strict=True)
            claims = (parse(name, held) for name, held in pairs)
            found += [claim for claim in claims if claim is not None and claim.worker == worker]
            if at == b"0":
                return found

    def release_all(self, worker: str, noted: Callable[[Claim], int] | None = None) -> int:
        """Give back all that this worker holds; returns how many ranges that were.

        Args:
            worker: Its name.
            noted: The deaths to note for a range; None: those that it has.
        """
        held = self.held_by(worker)
        number = noted or (lambda claim: deaths.settled(claim.deaths))
        return sum(
            int(self.release((claim, number(claim)) for claim in held[at : at + _STEP]))
            for at in range(0, len(held), _STEP)
        )

    def release_orphans(self) -> int:
        """Give back what workers hold that do not work on this map any more; returns how many ranges.

        They are those that hold neither this map nor a place in its work: a stock worker whose horse was killed,
        or a service that has let go of the map, and whose request for more came late.
        """
        self._drop_unreadable()
        workers = {claim.worker for claim in (*self.claims(), *self.copies())}
        return sum(self.release_all(name) for name in workers if not self._is_at_work(name))

    def _drop_unreadable(self) -> None:
        """Make claims that no worker wrote pending: nobody would ever release them."""
        k = self.known
        for name, held in self.connection.hscan_iter(k.claims, count=_STEP):
            if parse(name, held) is None:
                self.scripts.release(self._of_claims, [k.incarnation, name, held, 0])

    def check(self) -> None:
        """See that an open map can still be completed; its owner asks when nothing of it is in hand.

        Raises:
            DamagedError: If items are neither done nor in a range that is pending or claimed, or its hash says
                that it has all results that it wants, and it has not: somebody has changed the map's keys, and it
                would stay open for ever.
        """
        k = self.known
        with self.connection.pipeline() as pipe:
            pipe.hgetall(k.hash)
            self.count_left(pipe)
            fields, *left = pipe.execute()
        info = read_info(fields)
        if not fields or info.state != "open":
            return
        if MapField.ENOUGH.encode() in fields and not info.enough:
            raise DamagedError(f"{k.hash} says that the map {k.id} has enough results, and it has {info.done}")
        if info.missing > 0 and not any(left):
            raise DamagedError(
                f"{info.missing} of {info.items} items are in no chunk any more: {k.pending} was changed"
            )

    def count_left(self, pipe: Any) -> None:
        """Queue the questions how many chunks have no end yet: pending, to be tried again, claimed."""
        k = self.keys
        pipe.llen(k.pending)
        pipe.llen(k.again)
        pipe.hlen(k.claims)
        pipe.zcard(k.later)

    def _is_at_work(self, worker: str) -> bool:
        executions = self.connection.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(worker))  # of a stock worker
        here = (*holdings.read(self.connection, worker), *(one.decode("utf-8", "replace") for one in executions))
        return any(key.startswith(f"{self.keys.id}:") for key in here)


def _flat(parts: list[Part]) -> Iterator[Any]:
    return (one for part in parts for one in (str(part.range), part.body))


def _later(parts: list[Part], noted: int, pause: float) -> Iterator[Any]:
    return (one for part in parts for one in (f"{part.range} {noted} {pause:.6f}", part.body))


def function_codec(map_keys: keys.MapKeys, *, star: bool) -> Codec:
    """For the pickled function of a map; how it is called is a part of the place for which it is signed."""
    return codec.at("function", map_keys.id, map_keys.incarnation, "star" if star else "")
