"""``taskq memo ls``, ``show`` and ``rm``."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import click
from redis.exceptions import ResponseError

from taskq.errors import DamagedError, TaskqError, UsageError
from taskq.maps import memo
from taskq.maps.memo import Entry, Memo
from taskq.payload import codec
from taskq.redis import keys
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached
from taskq_workers.cli.said import put_json, say
from taskq_workers.cli.tables import Column, ago, show, table

_MEMOS = (Column("memo", long=11), Column("function", long=11), Column("results", number=True), Column("forgets"))
_ENTRIES = (Column("key", long=11), Column("stored"), Column("map", long=11), Column("item", number=True),
            Column("bytes", number=True))  # fmt: skip


@click.group(name="memo")
def memo_group() -> None:
    """Look at memos, which hold results of maps under keys, and remove them: Queue.map(..., memo="NAME").

    \b
    Examples:
      taskq memo ls
      taskq memo show scan-v1
      taskq memo rm scan-v1
    """


@memo_group.command(name="ls")
@url_option
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each memo.")
def ls(url: str, as_json: bool) -> None:
    """List all memos, the one that was used last first.

    A line of --json is {"memo", "function", "results", "ttl": seconds until all of it is forgotten, or null}.

    \b
    Examples:
      taskq memo ls
    """
    with reached(url) as connection:
        found = [_about(connection, name) for name in memo.names(connection)]
    if as_json:
        for one in found:
            put_json(one)
    else:
        show(table("Memos", _MEMOS, map(_row, found)))


def _about(connection: Any, name: str) -> dict[str, Any]:
    ttl = connection.ttl(keys.memo(name))
    try:
        there = memo.find(name, connection)
        function, count = (there.header.function, len(there)) if there is not None else ("", 0)
    except (TaskqError, ResponseError) as error:
        function, count = f"({error})", 0
    return {"memo": name, "function": function, "results": count, "ttl": None if ttl < 0 else ttl}


def _row(about: dict[str, Any]) -> tuple[object, ...]:
    forgets = "never" if about["ttl"] is None else f"in {about['ttl'] / 86_400:.1f} days"
    return about["memo"], about["function"], about["results"], forgets


@memo_group.command(name="show")
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="[KEY]", required=False)
@url_option
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many keys.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each key.")
def show_memo(name: str, key: str | None, url: str, limit: int, as_json: bool) -> None:
    """Show the keys of a memo, or the result that it has under one, as a line of JSON.

    A line of --json is {"key", "stored_at", "map": id, "item": index there, "bytes"}; that of one KEY has its
    "value", too, which is checked and unpickled for that.

    \b
    Examples:
      taskq memo show scan-v1
      taskq memo show scan-v1 page-17
    """
    with reached(url) as connection:
        there = _found(connection, name)
        if key is not None:
            entry = there.get(key)
            if entry is None:
                raise UsageError(f"the memo {name} has nothing under the key {key!r}")
            put_json({**_line(key, entry), "value": _value(there, key, entry)})
            return
        lines = [_line(one, entry) for one, entry in itertools.islice(there.each(), limit)]
        count = len(there)
    if as_json:
        for line in lines:
            put_json(line)
        return
    rows = ((one["key"], ago(one["stored_at"]), one["map"], one["item"], one["bytes"]) for one in lines)
    title = f"{count:,} results of {there.header.function} in the memo {name}"
    show(table(title, _ENTRIES, rows))


def _found(connection: Any, name: str) -> Memo:
    there = memo.find(name, connection)
    if there is None:
        raise UsageError(f"there is no memo {name!r}; `taskq memo ls` lists them")
    return there


def _line(key: str, entry: Entry) -> dict[str, Any]:
    stored = datetime.fromtimestamp(entry.stored, UTC).isoformat()
    return {"key": key, "stored_at": stored, "map": entry.map_id, "item": entry.index, "bytes": len(entry.element)}


def _value(there: Memo, key: str, entry: Entry) -> Any:
    pickled = there.pickled(key, entry)
    try:
        return codec.loads(pickled)
    except TaskqError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise DamagedError(f"the result under {key!r} can't be unpickled here: {why}") from error


@memo_group.command(name="rm")
@click.argument("name", metavar="NAME")
@click.argument("wanted", metavar="[KEY]...", nargs=-1)
@url_option
def rm(name: str, wanted: tuple[str, ...], url: str) -> None:
    """Remove a memo with all its results, or what it has under some keys.

    Maps that run put nothing more into a memo that was removed.

    \b
    Examples:
      taskq memo rm scan-v1
      taskq memo rm scan-v1 page-17 page-18
    """
    with reached(url) as connection:
        if wanted:
            say(f"removed {_found(connection, name).remove(wanted)} of {len(wanted)} from the memo {name}")
        elif memo.remove(name, connection):
            say(f"removed the memo {name}")
        else:
            raise UsageError(f"there is no memo {name!r}; `taskq memo ls` lists them")
