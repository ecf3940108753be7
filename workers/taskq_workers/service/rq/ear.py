"""A logger that keeps what RQ's code only logs."""

from __future__ import annotations

import logging
import sys
from typing import Any


class Ear(logging.LoggerAdapter):  # type: ignore[type-arg]
    """Keeps the exceptions that are logged."""

    def __init__(self, logger: Any, heard: list[Exception]) -> None:
        super().__init__(logger, {})
        self._heard = heard

    def exception(self, msg: object, *args: object, **options: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, Exception):
            self._heard.append(error)
        super().exception(msg, *args, **options)
