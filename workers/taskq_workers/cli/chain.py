"""``taskq map --then`` and ``--reduce``: what is run on the results, without their passing through here."""

from __future__ import annotations

from typing import Any

import click

from taskq.maps.job import MapJob
from taskq.payload import names

_EXISTING = "if_exists"


def chain_options(function: Any) -> Any:
    """The options of ``taskq map``."""
    for option in (
        click.option("--reduce", "fold", metavar="MODULE:FUNCTION",
                     help="Then fold all results to one, which is printed; the function must be associative."),
        click.option("--then", multiple=True, metavar="MODULE:FUNCTION",
                     help="Run this for every result, as soon as it is there; the results of the last such map "
                     "are printed. May be given again. All other options are about the first map."),
    ):  # fmt: skip
        function = option(function)
    return function


class Chain:
    """What follows a map.

    Args:
        then: As given.
        fold: As given.
        given: What the first map is told.

    Raises:
        click.UsageError: If it can't be meant.
    """

    def __init__(self, then: tuple[str, ...], fold: str | None, given: dict[str, Any]) -> None:
        self._then = [_dotted("--then", one) for one in then]
        self._fold = _dotted("--reduce", fold) if fold else None
        if self and given.get(_EXISTING) == "attach":
            raise click.UsageError(
                "--if-exists attach goes on with one map, and can't know of those that follow it: attach to the "
                "last by its id, which is said when it is pushed"
            )
        for option in ("first", "results"):
            if self and given.get(option, "keep") not in ("keep", None):
                raise click.UsageError(
                    f"--{option} {given[option]}: a map that another one follows keeps all of its results"
                )

    def __bool__(self) -> bool:
        return bool(self._then or self._fold)

    def follow(self, job: MapJob[Any]) -> MapJob[Any]:
        """Push what follows; returns the last one's job.

        Raises:
            TaskqError: As ``MapJob.map`` and ``reduce``. The map itself is cancelled then.
        """
        last = job
        try:
            for function in self._then:
                last = last.map(function)
            return last.reduce(self._fold) if self._fold else last
        except Exception:
            job.cancel()  # nobody would know of its results
            raise


def _dotted(option: str, text: str) -> str:
    found = names.dotted(text)
    if found is None:
        raise click.UsageError(f"{option}: {text!r} is not of the form MODULE:FUNCTION, such as math:sqrt")
    return found
