"""``taskq doctor``."""

from __future__ import annotations

from dataclasses import asdict

import click

from taskq_workers.cli import diagnosis, exits
from taskq_workers.cli.options import url_option
from taskq_workers.cli.reach import reached
from taskq_workers.cli.said import put, put_json


@click.command()
@url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def doctor(ctx: click.Context, url: str, as_json: bool) -> None:
    """Look at the server and at all that works on it, and say what is wrong and what to do about it.

    Looked at are this program's settings and versions, the server's memory and whether it may forget, the clocks,
    services and versions of all hosts, queues that nobody serves, maps that nobody can run, and what was refused.
    No password and no key is shown, so that all of it can go into a report. Exit code 0: nothing is wrong; 1: see
    the remedies. With --json: {"well", "findings": [{"what", "remedy": "" if nothing is wrong}]}.

    \b
    Examples:
      taskq doctor
      taskq doctor --json
    """
    with reached(url) as connection:
        patient = diagnosis.Patient(connection)
        found = [one for check in diagnosis.CHECKS for one in check(patient)]
    wrong = [one for one in found if one.remedy]
    if as_json:
        put_json({"well": not wrong, "findings": [asdict(one) for one in found]})
    else:
        for one in found:
            put(f"{'!!' if one.remedy else 'ok'}  {one.what}" + (f"\n    -> {one.remedy}" if one.remedy else ""))
        put(f"{len(wrong)} things are wrong" if wrong else "nothing is wrong")
    ctx.exit(exits.ERROR if wrong else exits.OK)
