"""``taskq show``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import click
from redis.exceptions import RedisError

from taskq.errors import DamagedError
from taskq.maps.refusal import Refusal
from taskq.maps.store import MapStore
from taskq.payload.sealed import SealedSerializer
from taskq.queue import fetch
from taskq.views import short_ids
from taskq.views.counted import counted
from taskq.views.error_groups import ErrorGroup
from taskq_workers.cli.job_view import JobView, views
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import complete_id, no_job, reached
from taskq_workers.cli.said import put_json
from taskq_workers.cli.tables import Column, ago, show, table
from taskq_workers.json_lines import error_of

_ERRORS = (
    Column("items", number=True), Column("exception", long=6), Column("where", long=6),
    Column("sample item", long=6), Column("message", long=6),
)  # fmt: skip
_LONGEST = 400  # characters of a message in a table


@click.command(name="show")
@click.argument("job_id", metavar="ID", shell_complete=complete_id)
@url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--traceback", is_flag=True, help="The sample's whole traceback for each group of errors.")
def show_command(job_id: str, url: str, as_json: bool, traceback: bool) -> None:
    """Show one job; of a map, its errors grouped by exception and last frame, with a sample item for each group.

    With --json: as a line of `taskq jobs --json`, and for a map "function", "reason", "chunks": {"waiting",
    "later": to be tried again after a pause, "claimed", "twice": of these, run a second time}, "workers": {name:
    claimed chunks},
    "refusals": [{"worker", "host", "python", "why": why it can't run the map}], "errors": [{"type", "file",
    "line", "function", "count", "sample": {"item", "type", "message", "attempts", "traceback"}}]; for a plain
    job "error": text or null.

    \b
    Examples:
      taskq show ID
      taskq show ID --traceback
      taskq show ID --json
    """
    with reached(url) as connection:
        [view] = views(connection, [short_ids.whole(connection, job_id)])
        if view is None:
            raise no_job(job_id)
        details = _map(connection, view) if view.kind == "map" else _plain(connection, view)
    if as_json:
        put_json({**view.to_dict(), **details, **_errors(details)})
    else:
        show(*_parts(view, details, traceback=traceback))


def _map(connection: Any, view: JobView) -> dict[str, Any]:
    store = MapStore(view.id, connection)
    if not store.exists():
        none: dict[str, Any] = {"chunks": None, "workers": {}, "refusals": [], "errors": []}
        return {"function": "", "reason": "its keys are gone", **none}
    info = store.info()
    workers = Counter(claim.worker for claim in store.claims())
    copies = Counter(claim.worker for claim in store.copies())
    waiting = sum(map(connection.llen, (store.keys.pending, store.keys.again)))
    later = connection.zcard(store.keys.later)
    return {
        "function": info.name,
        "reason": info.reason,
        "chunks": {"waiting": waiting, "later": later, "claimed": workers.total(), "twice": copies.total()},
        "workers": dict(workers + copies),
        "refusals": [asdict(one) for one in store.refusals().values()],
        "errors": store.groups(),
    }


def _plain(connection: Any, view: JobView) -> dict[str, Any]:
    job = fetch(view.id, connection, SealedSerializer)
    try:
        latest = job.latest_result() if job is not None else None
    except RedisError:
        raise
    except Exception as error:
        raise DamagedError(f"the results of the job {view.id} can't be read: {error!r}") from error
    return {"error": latest.exc_string if latest else None}


def _errors(details: dict[str, Any]) -> dict[str, Any]:
    return {"errors": [_group(group) for group in details["errors"]]} if "errors" in details else {}


def _group(group: ErrorGroup) -> dict[str, Any]:
    sample = group.sample
    return {
        "type": group.type,
        "file": group.frame.file,
        "line": group.frame.line,
        "function": group.frame.function,
        "count": group.count,
        "sample": {"item": sample.index, **error_of(sample), "traceback": sample.traceback},
    }


def _parts(view: JobView, details: dict[str, Any], *, traceback: bool) -> list[Any]:
    parts: list[Any] = [f"{view.kind} {view.id}", f"  {view.description}", f"  {view.status} on {view.queue}"]
    times = {name: getattr(view, f"{name}_at") for name in ("created", "enqueued", "started", "ended")}
    parts += [f"  {name} {when} ({ago(when)})" for name, when in times.items() if when]
    if view.items is not None:
        so_far = "" if view.items.sealed else " so far"
        parts.append(f"  {view.items.done} of {view.items.total} items{so_far} done, {view.items.failed} failed")
        parts += [f"  paused: `taskq resume {view.id}` makes it go on"] if view.items.paused else []
        parts += [f"  {name}: {value}" for name, value in view.items.terms.items()]
    if details.get("chunks"):
        chunks = details["chunks"]
        later = f", {chunks['later']} to be tried again later" if chunks["later"] else ""
        twice = f", {chunks['twice']} of them twice" if chunks["twice"] else ""
        parts.append(f"  chunks: {chunks['waiting']} waiting, {chunks['claimed']} claimed{twice}{later}")
    parts += [f"  {count} of them by {name}" for name, count in details.get("workers", {}).items()]
    for one in details.get("refusals", ()):
        parts.append(f"  refused by {Refusal(**one)}")
    if details.get("reason"):
        parts.append(f"  {details['reason']}")
    if details.get("error"):
        parts.append(details["error"].rstrip())
    if groups := details.get("errors"):
        parts.append(table("Errors", _ERRORS, map(_row, groups)))
        if traceback:
            parts += [f"item {group.sample.index}:\n{group.sample.traceback.rstrip()}" for group in groups]
    return parts


def _row(group: ErrorGroup) -> tuple[object, ...]:
    sample = group.sample
    killed = (
        f" (killed {counted(sample.attempts, 'process', 'processes')})" if group.type == "WorkerLostError" else ""
    )
    said = sample.message
    if len(said) > _LONGEST:
        said = f"{said[:_LONGEST]} ... ({len(said):,} characters: --json shows all)"
    return group.count, group.type, group.frame, f"{sample.index}{killed}", said
