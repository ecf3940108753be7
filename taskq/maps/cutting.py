"""What of a chunk did not run, or has failed, as parts to be claimed: in its body, or in ones of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskq.maps.body import Body
from taskq.payload.outcome import Part

MAX_PARTS = 256  # into which a chunk is cut at a time
_SMALL = (256, 32)  # bytes of a part, and of each item of it, which are always allowed


def positions_of(at: int, indexes: Sequence[int], wanted: set[int]) -> list[list[int]]:
    """Where in a body these of its items are, of which the first is at a position; as one group, or none."""
    return [[at + number for number, index in enumerate(indexes) if index in wanted]] if wanted else []


def cut(positions: range, size: int | None) -> list[range]:
    """These positions, so many for each part, of which there are ``MAX_PARTS`` at most; None: all in one."""
    if not positions:
        return []
    starts = range(0, len(positions), size or len(positions))[:MAX_PARTS]
    stops = [*starts[1:], len(positions)]
    return [positions[start:stop] for start, stop in zip(starts, stops, strict=True)]


def freed(body: Body, count: int) -> float:
    """Bytes for each of these items which a body of its own may take, since the old one goes."""
    if count < len(body.header.indexes):
        return 0.0  # others need it
    return body.size / count if body.shares else float("inf")


def parts_of(body: Body, groups: Sequence[Sequence[int]], allowed: float) -> list[Part]:
    """A part for the items at each of these groups of positions, with bodies of about so many bytes together.

    Items of one pickle may share most of it, as in ``map(f, repeat(data), range(n))``: apart from each other they
    would be many times larger. Then, and if there is no room for others, they stay in the old body.
    """
    parts: list[Part] = []
    for positions in groups:
        parts.append(Part(*body.part(positions)))
        allowed += _SMALL[0] + _SMALL[1] * len(positions) - len(parts[-1].body)
        if allowed < 0:
            return [Part(body.span(run)) for positions in groups for run in _runs(positions)]
    return parts


def _runs(positions: Sequence[int]) -> Iterator[Sequence[int]]:
    """The positions, cut where there is a gap."""
    begin = 0
    for at in range(1, len(positions) + 1):
        if at == len(positions) or positions[at] != positions[at - 1] + 1:
            yield positions[begin:at]
            begin = at
