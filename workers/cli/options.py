"""What several subcommands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskq.connection import DEFAULT_URL

F = TypeVar("F", bound=Callable[..., Any])


def url_option(function: F) -> F:
    """``--url``, or ``TASKQ_URL``; ``RQ_REDIS_URL`` where that is not set, as RQ's commands have it."""
    return click.option(
        "--url",
        "-u",
        envvar="TASKQ_URL",
        default=lambda: os.environ.get("RQ_REDIS_URL", DEFAULT_URL),
        show_default=False,
        show_envvar=True,
        help=f"Redis: redis://, rediss:// or unix://. [default: {DEFAULT_URL}]",
    )(function)
