"""``taskq map`` and ``taskq attach``: ``Pool.map`` from a shell script."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rq.job import Retry

from taskq.errors import OptionError
from taskq.maps.job import MapJob
from taskq.maps.open_map import OpenMap
from taskq.maps.options import LONGEST
from taskq.payload import names
from taskq.queue import Queue
from taskq.views.escaped import escaped
from taskq_workers.cli.chain import Chain, chain_options
from taskq_workers.cli.follow import Following, follow_options, show_of, start_option, wait_options
from taskq_workers.cli.items import NegativeItems, items_of
from taskq_workers.cli.map_options import told, told_options
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import complete_id, find_map, reached
from taskq_workers.cli.said import put, say
from taskq_workers.cli.streaming import BUFFER, own_stdin, streaming


@click.command(name="map", cls=NegativeItems)
@click.argument("target", metavar="MODULE:FUNCTION")
@click.argument("items", nargs=-1)
@url_option
@click.option("--queue", "queue_name", default="default", show_default=True, help="The queue to push to.")
@click.option("--range", "count", type=click.IntRange(min=0), metavar="N", help="The items 0 to N-1.")
@click.option("--stdin", "form", type=click.Choice(["json", "lines", "csv"]),
              help="Items from stdin: a JSON value a line, each line as text, or each row as a dict by the names "
              "in the first one.")  # fmt: skip
@click.option(
    "--follow", "streams", is_flag=True, help="Run each line of --stdin as it comes, until the pipe ends."
)
@click.option("--star", is_flag=True, help="Each item is a list of arguments.")
@click.option("--chunksize", type=click.IntRange(min=1), help="Items that run together. [default: taskq picks it]")
@click.option("--item-timeout", type=click.FloatRange(min=0, max=LONGEST, min_open=True), metavar="SECONDS",
              help="Limit of each item. [default: none]")  # fmt: skip
@click.option("--retry", "retries", type=click.IntRange(min=1), metavar="N",
              help="How often what has failed is tried again at the end. [default: not at all]")  # fmt: skip
@click.option("--max-failures", metavar="N|SHARE", help="The map fails once more items have failed: 0, 10, 0.05. "
              "[default: all are tried]")  # fmt: skip
@told_options
@click.option("--job-timeout", metavar="TIME", help="Limit of the whole map: 90, 10m, 2h. [default: none]")
@click.option("--result-ttl", metavar="TIME", help="How long results are kept. [default: 7 days]")
@click.option("--job-id", help="An id of your own. [default: a random one]")
@click.option("--if-exists", type=click.Choice(["raise", "attach", "replace"]),
              help="If a map has the --job-id: attach goes on with it, if it is the same; replace cancels it. "
              "[default: raise, unless it has ended]")  # fmt: skip
@chain_options
@click.option("--detach", is_flag=True, help="Print the map's id, and do not wait.")
@follow_options
@wait_options
@click.pass_context
def map_command(
    ctx: click.Context, /, target: str, items: tuple[str, ...], url: str, queue_name: str, count: int | None,
    form: str | None, streams: bool, star: bool, chunksize: int | None, item_timeout: float | None,
    retries: int | None, max_failures: str | None, job_timeout: str | None, result_ttl: str | None,
    job_id: str | None, detach: bool, as_completed: bool, values: bool, cancel_on_interrupt: bool,
    progress: bool | None, then: tuple[str, ...], fold: str | None, **options: Any,
) -> None:  # fmt: skip
    """Run FUNCTION for every item on the workers; results as lines of JSON, in the order of the items.

    Each of ITEMS is read as JSON where it is JSON, else taken as text. The workers import MODULE: start them in
    its folder, or install it there. Nothing runs before all of the items are there, unless with --follow, and no
    more of them, or of the results, is in memory than a few chunks.

    A line is {"item": 0, "value": 2.0}, or {"item": 1, "error": {"type", "message", "attempts"}}. Exit code 0:
    all items have results, 3: some failed, 4: the map ended before all were tried. Ctrl-C leaves the map running
    and says how to come back to it.

    \b
    Examples:
      taskq map math:sqrt 4 9 16
      taskq map builtins:abs -4 -2.5 --item-timeout 10 --retry 2
      taskq map math:sqrt --range 1000 --values > roots.txt
      taskq map random:randrange 10 20 --initializer random:seed --initarg 7
      printf '%s\\n' alpha beta | taskq map builtins:len --stdin lines --as-completed
      echo '[2, 10]' | taskq map builtins:pow --stdin json --star
      printf '%s\\n' 5 7 | taskq map math:factorial --stdin json --follow
      taskq map math:factorial --range 9 --then math:sqrt --reduce builtins:max
      taskq map math:factorial --range 500 --detach
      taskq map math:factorial --range 500 --memo factorials --memo-ttl 3600
      taskq map math:sqrt 4 9 --item-retry 3 --jitter 0.5 --retry-not-on ValueError
      taskq map math:factorial --range 500 --job-id nightly --if-exists attach
    """
    function = names.dotted(target)
    if function is None:
        raise click.UsageError(f"{target!r} is not of the form MODULE:FUNCTION, such as math:sqrt")
    # The locale is not asked: a file means the same everywhere. And csv reads line ends itself.
    stdin = io.TextIOWrapper(own_stdin() if streams else sys.stdin.buffer, encoding="utf-8-sig", newline="")
    source = items_of(items, count, form, stdin)
    times = {"job_timeout": job_timeout, "result_ttl": result_ttl}
    given = told({"job_id": job_id, **options}, opens=streams)
    given |= {name: _seconds(value) for name, value in times.items() if value is not None}
    if max_failures is not None:
        given["max_failures"] = _number(max_failures)
    if item_timeout is not None:
        given["item_timeout"] = item_timeout
    if retries is not None:
        given["retry"] = Retry(max=retries)
    chain = Chain(then, fold, given)
    if streams and (form is None or detach):
        raise click.UsageError("--follow takes its items from --stdin, and can't be detached from that")
    with reached(url) as connection, _options_are_meant():
        queue = Queue(queue_name, connection=connection)
        following = Following(as_completed, values, show_of(progress), cancel=cancel_on_interrupt)
        if streams:
            given = {"buffersize": BUFFER, **given}
            opened: OpenMap = queue.open_map(function, star=star, chunksize=chunksize, **given)
            last = chain.follow(opened)
            _say_id(last)
            with streaming(opened, source):
                code = following.run(last)
            ctx.exit(code)
        push = queue.starmap if star else queue.map
        try:
            job = chain.follow(push(function, source, chunksize=chunksize, **given))
        except KeyboardInterrupt:
            say("taskq: nothing was pushed, for not all items were there yet")
            raise
        if detach:
            put(job.id)
            return
        _say_id(job)
        ctx.exit(following.run(job))


@contextmanager
def _options_are_meant() -> Iterator[None]:
    """Say of an option that can't be used what click says of one: it is how the command was called."""
    try:
        yield
    except OptionError as error:
        raise click.UsageError(escaped(str(error), lines=True)) from error


def _say_id(job: MapJob) -> None:
    if not sys.stdout.isatty():
        say(f"taskq: map {job.id}")


def _number(text: str) -> int | float:
    try:
        return float(text) if "." in text else int(text)
    except ValueError as error:
        raise click.UsageError(f"--max-failures must be a number, such as 10 or 0.05, not {text!r}") from error


def _seconds(text: str) -> int | str:
    """A whole number as one; RQ reads ``10m`` and ``2h`` itself."""
    try:
        return int(text)
    except ValueError:
        return text


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=complete_id)
@url_option
@follow_options
@start_option
@wait_options
@click.pass_context
def attach(
    ctx: click.Context, job_id: str, url: str, as_completed: bool, values: bool, start: int,
    cancel_on_interrupt: bool, progress: bool | None,
) -> None:  # fmt: skip
    """Follow a map that was pushed before, from its first result on, or from another; as `taskq map` does.

    \b
    Examples:
      taskq attach ID
      taskq attach ID --as-completed --values > results.jsonl
      taskq attach ID --start $(wc -l < results.jsonl) >> results.jsonl
    """
    with reached(url) as connection:
        following = Following(as_completed, values, show_of(progress), cancel=cancel_on_interrupt, start=start)
        ctx.exit(following.run(find_map(connection, job_id)))
