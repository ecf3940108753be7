"""What several subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskq.redis.connection import DEFAULT_URL
from taskq_workers.cli.rq_config import url_of_environment

F = TypeVar("F", bound=Callable[..., Any])


def url_option(function: F) -> F:
    """``--url``, or ``TASKQ_URL``; where that is not set, what RQ's commands read of the environment."""
    return click.option(
        "--url",
        "-u",
        envvar="TASKQ_URL",
        default=url_of_environment,
        show_default=False,
        show_envvar=True,
        help=f"Redis: redis://, rediss://, unix:// or redis+sentinel://. [default: {DEFAULT_URL}]",
    )(function)
