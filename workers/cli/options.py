"""What several subcommands share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskq.connection import DEFAULT_URL

F = TypeVar("F", bound=Callable[..., Any])


def url_option(function: F) -> F:
    """``--url``, or ``TASKQ_URL``."""
    return click.option(
        "--url",
        envvar="TASKQ_URL",
        default=DEFAULT_URL,
        show_envvar=True,
        help=f"Redis: redis://, rediss:// or unix://. [default: {DEFAULT_URL}]",
    )(function)


def log_to_stderr(level: str) -> None:
    """Human log lines; the processes are told apart by their numbers."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)-7s [%(process)d] %(name)s: %(message)s"
    )
    logging.getLogger("rq.worker").addFilter(_is_news)
    for chatty in ("cotyledon", "rq.worker", "rq.queue", "rq.job"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def _is_news(record: logging.LogRecord) -> bool:
    """RQ's thread for commands says every two seconds that Redis is away; the dispatcher says so, too."""
    return "could not connect to Redis instance" not in str(record.msg)
