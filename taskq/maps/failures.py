"""What failed of a map so far, as a mapping of which no more is read than is asked for."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from itertools import islice

from taskq.maps.reader import MapReader
from taskq.maps.spans_read import covered, covered_by_runs
from taskq.payload.outcome import ItemFailure
from taskq.redis.patience import clear_errors
from taskq.views import forms

_BATCH = 100  # error records read in one round trip: each may be large
_SHOWN = 10  # in a repr


class Failures(Mapping[int, ItemFailure]):
    """Item index -> error record, by index; nothing is kept, so it always tells of now.

    Args:
        store: The map's.

    Every access raises ``ServerError`` if the server can't be reached, ``SignatureError`` if there is a secret key
    and a record is not signed for this map; ``DamagedError`` if one is no record of the item at which it stands;
    ``ResultsGoneError`` if the map is gone, or the server loses a part of it meanwhile; ``ReplacedError`` if its
    id was pushed again.
    """

    def __init__(self, store: MapReader) -> None:
        self._store = store
        self.connection = store.connection

    @clear_errors
    def __getitem__(self, index: int) -> ItemFailure:
        [found] = self._store.failures_at([index]) if isinstance(index, int) else [None]
        if found is None:
            raise KeyError(index)
        return found

    @clear_errors
    def __len__(self) -> int:
        return self._store.failed()

    def __iter__(self) -> Iterator[int]:
        return (failure.index for failure in self.each())

    def each(self) -> Iterator[ItemFailure]:
        """Every record, by index; a batch of them is in memory at a time."""
        for indexes in self._batches():
            yield from self._read(indexes)

    @clear_errors
    def _read(self, indexes: Sequence[int]) -> list[ItemFailure]:
        return [found for found in self._store.failures_at(indexes) if found is not None]

    def _batches(self) -> Iterator[Sequence[int]]:
        """The items that have no result, some at a time, however they lie between the others."""
        batch: list[int] = []
        for start, count in self._gaps():
            batch += range(start, start + count)
            if len(batch) >= _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    @clear_errors
    def _gaps(self) -> Iterator[tuple[int, int]]:
        if not self._store.failed():
            return iter(())
        terms, total = (info := self._store.info()).terms, info.total
        coverage = covered_by_runs(self._store, total) if terms.discards else covered(self._store, total)[0]
        items = self._store.info().items  # of an open map not all that there may be, but all that there are
        return _before(items, coverage.gaps(_BATCH))

    def items(self) -> ItemsView[int, ItemFailure]:
        return _Items(self)

    def values(self) -> ValuesView[ItemFailure]:
        return _Values(self)

    def _repr_html_(self) -> str:
        """For a notebook: the first of them."""
        return forms.safely(self, lambda: forms.of_failures([*islice(self.each(), forms.SHOWN)], len(self)))

    def __repr__(self) -> str:
        shown = [f"{failure.index}: {failure!r}" for failure, _ in zip(self.each(), range(_SHOWN), strict=False)]
        more = [f"... {len(self)} in all"] if len(self) > _SHOWN else []
        return "{" + ", ".join([*shown, *more]) + "}"


def _before(end: int, gaps: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for start, count in gaps:
        if start >= end:
            return
        yield start, min(count, end - start)


class _Items(ItemsView[int, ItemFailure]):
    def __init__(self, of: Failures) -> None:
        super().__init__(of)
        self._of = of

    def __iter__(self) -> Iterator[tuple[int, ItemFailure]]:
        return ((failure.index, failure) for failure in self._of.each())


class _Values(ValuesView[ItemFailure]):
    def __init__(self, of: Failures) -> None:
        super().__init__(of)
        self._of = of

    def __iter__(self) -> Iterator[ItemFailure]:
        return self._of.each()
