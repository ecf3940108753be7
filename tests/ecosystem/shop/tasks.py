"""Jobs that use the database."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import connections
from django_rq import job


@job
def sign_up(name: str) -> int:
    """How many users there are of this name, after this one."""
    User.objects.create(username=name)
    return User.objects.filter(username=name).count()


@job("high")
def refuse(name: str) -> None:
    """Fail, with a connection open."""
    raise LookupError(f"{name}, one of {User.objects.count() > 0}")


@job
def open_connections(_name: str) -> int:
    """How many connections to databases are left of whatever ran before."""
    return sum(one.connection is not None for one in connections.all(initialized_only=True))


def note(failed: Any, kind: type[BaseException], *_: Any) -> bool:
    """The project's exception handler."""
    failed.meta["noted"] = kind.__name__
    failed.save_meta()
    return True
