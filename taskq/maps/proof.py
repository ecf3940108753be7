"""The proof that a map is complete: each item has just one result or one error record; made in bounded steps.

Counters say when to look, and prove nothing: they are a part of what a server may have lost, or somebody changed.
"""

from __future__ import annotations

from collections.abc import Iterator

from taskq.errors import DamagedError
from taskq.maps.coverage import Coverage
from taskq.maps.info import MapInfo
from taskq.maps.reader import Merged
from taskq.maps.store import MapStore
from taskq.payload import signing, tally
from taskq.payload.tally import Tally

_GONE = -2  # what unrecorded.lua says of a map that is not there any more
STEP = 5000  # spans, or error records, that one step looks at


def prove(store: MapStore, *, discards: bool = False) -> int:
    """See that a map which says that it is complete is so; at once, for whoever has nothing else to do.

    Args:
        store: The map's.
        discards: It keeps no results.

    Returns:
        How many items have a result: what its spans tell, and not what its hash has counted.

    Raises:
        As ``Proof.step``.
    """
    proof = Proof(store, discards=discards)
    while proof.step() is None:
        pass
    return proof.told


class Proof:
    """Accounts for the items of a map that says it is complete.

    Args:
        store: The map's.
        discards: It keeps no results: what has one is told by runs that were merged, and no list has as many.
    """

    def __init__(self, store: MapStore, *, discards: bool = False) -> None:
        self._store, self._discards = store, discards
        self._again = False  # it is made a second time, since the first one failed
        self._begin()

    def _begin(self) -> None:
        self._coverage: Coverage | None = None
        self._spans = self._told = 0  # spans read, and the items that they tell of
        self._gaps: Iterator[tuple[int, int]] | None = None  # what no span tells of and was not looked at yet
        self._cursor = 0  # of runs, where spans are merged
        self._runs: set[tuple[int, int]] = set()
        self._sum = tally.NOTHING  # that they should have added
        self._ends: set[tuple[int, int]] = set()

    @property
    def told(self) -> int:
        """How many items have a result, once it is made."""
        return self._told

    def step(self) -> MapInfo | None:
        """Go on.

        Returns:
            What the map's hash says: once all is accounted for, or if it is not complete after all. None: call
            again.

        Raises:
            ResultsGoneError, ReplacedError: If the map is gone.
            DamagedError: If an item has neither a result nor an error record, or more than one of them; and that
                twice, for between two steps the map may have been deleted, or the server came back as it was some
                moments before, and the map has come to its end in another order.
        """
        try:
            return self._step()
        except DamagedError:
            if self._again:
                raise
            self._again = True
            self._begin()
            return None

    def _step(self) -> MapInfo | None:
        if not self._discards:
            return self._read_spans()
        return self._read_runs() if self._gaps is None else self._look_on()

    def _look_on(self) -> MapInfo | None:
        """Look at more of the gaps between runs, all of which are read."""
        info = self._store.info()
        if not info.complete:
            self._begin()
            return info
        assert self._gaps is not None
        return None if self._look_at_gaps(self._gaps) else info

    def _read_runs(self) -> MapInfo | None:
        part = self._store.merged(self._cursor, STEP)
        if not part.info.complete:
            self._begin()
            return part.info
        self._add_up(part)
        self._runs.update(part.runs)
        self._ends.update(part.ends)
        self._cursor = part.cursor
        if self._cursor:
            return None
        if self._runs != self._ends:
            raise DamagedError(
                f"{self._store.keys.spans} tells of other items by their ends than by their beginnings"
            )
        signed = bool(part.info.terms.runs and signing.keyring())
        if signed and (part.info.ran or tally.NOTHING) != self._sum:
            raise DamagedError(
                f"the sum of what has run is not that of the items of which {self._store.keys.spans} tells: one "
                "of the two was changed, or some have run without the secret key"
            )
        self._coverage = Coverage(part.info.total)
        for start, end in self._runs:
            self._coverage.add(start, end - start)
        self._told = sum(end - start for start, end in self._runs)
        return self._all_read(part.info, self._coverage, part.info.done, part.errors)

    def _add_up(self, part: Merged) -> None:
        """Have more of the runs among those that the sum is to tell of; some are told twice."""
        terms, k = part.info.terms, self._store.known
        if terms.runs and signing.keyring():
            more = Tally(terms.runs, k.id, k.incarnation).of(set(part.runs) - self._runs)
            self._sum = tally.added(self._sum, more)

    def _read_spans(self) -> MapInfo | None:
        end = self._store.at_end(self._spans, STEP)
        info = end.info
        if not info.complete:  # the server came back as it was some moments before: what was read is no more
            self._begin()
            return info
        coverage = self._coverage = self._coverage or Coverage(info.total)
        for start, count in end.spans:
            coverage.add(start, count)
            self._told += count
        self._spans += len(end.spans)
        if len(end.spans) == STEP:
            return None
        return self._all_read(info, coverage, end.results, end.errors)

    def _all_read(self, info: MapInfo, coverage: Coverage, results: int, errors: int) -> MapInfo | None:
        if self._gaps is None:
            # Where enough was wanted, and is there, the other items have no outcome.
            wanted = (info.terms.first, info.failed) if info.enough else (results, info.total - self._told)
            if results != self._told or (self._told, errors) != wanted:
                raise DamagedError(
                    f"{info.total} items: spans tell of {self._told}, there are {results} results and "
                    f"{errors} error records"
                )
            coverage.check()
            self._gaps = iter(()) if info.enough else coverage.gaps(STEP)
        return None if self._look_at_gaps(self._gaps) else info

    def _look_at_gaps(self, gaps: Iterator[tuple[int, int]]) -> bool:
        """See that the next of them have error records; whether there may be more."""
        batch, items = [], 0
        for start, count in gaps:
            batch += [start, count]
            items += count
            if items >= STEP or len(batch) >= STEP:
                break
        if not batch:
            return False
        k = self._store.known
        missing = self._store.scripts.unrecorded([k.hash, k.errors], [k.incarnation, *batch])
        if missing == _GONE:
            self._store.info()  # raises, if it is gone still
            raise DamagedError(f"{k.hash} has changed while it was read")
        if missing >= 0:
            raise DamagedError(f"nothing tells what became of item {missing}")
        return True
