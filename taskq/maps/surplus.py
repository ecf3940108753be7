"""What of a chunk's outcome is stored where its map wants no more than so many results (``first=``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from taskq.maps.body import read_header
from taskq.maps.claim import Claim
from taskq.payload.outcome import ChunkOutcome, Part
from taskq.payload.ranges import Range


def without(outcome: ChunkOutcome, claim: Claim, room: int) -> ChunkOutcome:
    """The outcome with its first ``room`` results; the other items have not run, as far as anybody will know."""
    kept: list[tuple[int, int]] = []
    over: list[Part] = []
    left = room
    for start, count in outcome.spans:
        stays = min(left, count)
        left -= stays
        if stays:
            kept.append((start, stays))
        if stays < count:
            over.append(Part(Range(start + stays, count - stays)))  # in the body that the chunk has
    return replace(
        outcome, values=outcome.values[:room], spans=kept, rest=[*outcome.rest, *over], left=_left(outcome, claim),
        again=_again(outcome, claim),
    )  # fmt: skip


def _left(outcome: ChunkOutcome, claim: Claim) -> list[Part]:
    """What has failed; in the chunk's own body, where another would take the place of that: it is needed now."""
    if all(part.range != claim.within for part in outcome.left):
        return outcome.left
    return [Part(Range(start, count)) for start, count in _runs(failure.index for failure in outcome.failures)]


def _again(outcome: ChunkOutcome, claim: Claim) -> list[Part]:
    """The same of what is to be tried again."""
    if all(part.range != claim.within for part in outcome.again):
        return outcome.again
    headers = ((part, read_header(part.body) if part.body else claim.header) for part in outcome.again)
    indexes = (index for part, header in headers for index in header.within(part.range))
    return [Part(Range(start, count)) for start, count in _runs(indexes)]


def _runs(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    start, count = -1, 0
    for index in indexes:
        if index == start + count:
            count += 1
            continue
        if count:
            yield start, count
        start, count = index, 1
    if count:
        yield start, count
