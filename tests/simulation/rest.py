"""What must be so once every fault is over, and everybody has heard of everything."""

from __future__ import annotations

from typing import Any

from rq.job import JobStatus

ENDED = {one.value for one in (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.STOPPED)}
_WORK = ("rq:queue:", "rq:execution", "rq:wip", "taskq:held:", "taskq:fetched:")
_REGISTERS = (
    "rq:queues", "rq:workers", "rq:workers:default", "rq:failed:default", "rq:finished:default",
    "rq:canceled:default", "taskq:maps", "taskq:memos", "taskq:leases", "taskq:services", "taskq:schema",
    "taskq:refused", "taskq:activity", "taskq:metrics", "taskq:timeline",
)  # fmt: skip


def unsettled(world: Any) -> list[str]:
    """What is left that should not be."""
    found: list[str] = []
    for key, item in list(world.server.db.items()):
        if item.expireat is None or item.expireat >= world.server.time:
            found += _unsettled(world, key.decode(), item)
    if left := set(_names(world, "taskq:leases")) - {one.name for one in world.services}:
        found.append(f"{', '.join(sorted(left))} are gone, and still have leases")
    return found


def _unsettled(world: Any, name: str, item: Any) -> list[str]:
    if name.startswith(_WORK):
        return [f"{name} is left"]
    if name.startswith("rq:job:"):
        status = item.value.getall().get(b"status")
        if status is None:
            return [f"{name} has no status"]
        if status.decode() not in ENDED:
            return [f"{name} is {status.decode()}"]
        stays = item.expireat is None and status != b"canceled"  # which RQ keeps for ever
        found = [f"{name} never expires"] if stays else []
        found += _recorded_twice(world, name.removeprefix("rq:job:"))
        return found + _mistold(world, name.removeprefix("rq:job:"), status.decode())
    if item.expireat is None and name not in _REGISTERS and not name.startswith("rq:worker:"):
        return [f"{name} never expires"]
    return []


def _names(world: Any, key: str) -> list[str]:
    found = world.server.value(key)
    return [] if found is None else [name.decode() for name in found]


def _recorded_twice(world: Any, job_id: str) -> list[str]:
    """A success is recorded once; a failure may be followed by other tries."""
    stream = world.server.value(f"rq:results:{job_id}")
    ends = [] if stream is None else [fields[fields.index(b"type") + 1] for _id, fields in stream]
    return [f"the success of {job_id} is recorded {ends.count(b'1')} times"] if ends.count(b"1") > 1 else []


def _mistold(world: Any, map_id: str, status: str) -> list[str]:
    """Whether RQ tells another end of a map than its results do."""
    if status not in ("finished", "failed") or map_id in world.too_late:
        return []
    seen = world.oracle.see(map_id)
    if seen is None:
        return []
    placed, total = seen.placed(), seen.number("total")  # which says of an open map more than there can be
    ended = sorted([*placed, *map(int, seen.errors)])
    known = seen.runs is not None or len(seen.results) == len(placed)
    whole = known and len(ended) == total and ended == list(range(total))
    first = world.pushes[world.incarnations[seen.fields[b"incarnation"]]].order.first
    if first and status == "finished" and len(placed) == first:
        return []
    if status == "finished" and (not whole or seen.errors):
        return [f"RQ says that {map_id} is finished; of {total} items there are results of {sorted(placed)}"]
    if status == "failed" and len(placed) == total and whole and map_id not in world.damaged:
        return [f"RQ says that {map_id} has failed, and all of its {total} items have results"]
    return []
