"""Where log records go: to stderr, for people or as lines of JSON; those of user code in pool processes, too.

What the application sets up in a pool process stays, as in RQ's work horse: with ``basicConfig`` or
``dictConfig``, by Django, in a module that is preloaded or imported by a job. Ours is there for what no handler of
the application's takes. ``DICT_CONFIG`` of RQ's settings module is set up in all processes.

Every record has the same four fields, so that logs can be searched by them: ``action`` (a stable word for what
happened; null for user code's), ``job``, ``chunk`` and ``worker`` (the service's RQ name). What a record does not
say itself is filled in from what its process is at: see ``at``.
"""

from __future__ import annotations

import copy
import importlib
import logging
import logging.config
from dataclasses import dataclass
from typing import Any

from taskq.views.escaped import escaped

FIELDS = ("action", "job", "chunk", "worker")
FORMATS = ("human", "json")
LEVELS = ("debug", "info", "warn", "warning", "error", "critical", "fatal", "notset")  # as RQ takes them

_HUMAN = "%(asctime)s %(levelname)-7s [%(process)d] %(name)s: %(message)s"
_NOBODYS = ("arguments", "kwargs")  # of a failed job, which RQ adds to its record: nobody's business in a log
_RENAMED = {"levelname": "level", "name": "logger", "processName": "process_name", "threadName": "thread"}
_CHATTY = ("cotyledon", "rq.worker", "rq.queue", "rq.job")
_OURS = ("taskq", "taskq_workers", *_CHATTY)

_INDENT = "    "

_at: dict[str, Any] = {}  # of this process


@dataclass(frozen=True)
class LogOptions:
    """How to log.

    Args:
        level: One of ``LEVELS``.
        form: One of ``FORMATS``, or what ``logging.Formatter`` takes with ``%``.
        date_format: Of the time in human lines, as ``time.strftime`` has it; None: ISO, with milliseconds.
        module: RQ's settings module, if it has a ``DICT_CONFIG``.
    """

    level: str = "info"
    form: str = "human"
    date_format: str | None = None
    module: str = ""


def check_format(form: str) -> None:
    """See that lines can be made by this format.

    Raises:
        ValueError: If not; says which fields there are, if it names another.
    """
    record = logging.makeLogRecord({})
    Filter().filter(record)
    known = sorted({*vars(record), "message", "asctime"} - {"args", "exc_info", "exc_text", "msg", "stack_info"})
    formatter = logging.Formatter(form)
    try:
        formatter.format(record)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{error}; the fields are {', '.join(known)}") from error


def at(**fields: Any) -> None:
    """Say what this process is at; None: nothing any more. For the records of all of its threads."""
    _at.update(fields)


def to_stderr(options: LogOptions) -> None:
    """Send all records of this process to stderr."""
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(_handler(options))
    root.setLevel(options.level.upper())
    _calm_down(root.level)


def beside_the_application(options: LogOptions) -> None:
    """Send to stderr what no handler of the application's takes, in a pool process."""
    logging.lastResort = _handler(options)
    root = logging.getLogger()
    if not root.handlers:  # else a module that was preloaded has set it up
        root.setLevel(options.level.upper())
    _calm_down(logging.getLevelNamesMapping()[options.level.upper()])


def set_up_as_told(module: str) -> None:
    """Set logging up as ``DICT_CONFIG`` of this module says; none of our loggers falls silent by that.

    Raises:
        Exception: If it can't be imported, or is none.
    """
    logging.config.dictConfig(importlib.import_module(module).DICT_CONFIG)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith(_OURS) and isinstance(logger, logging.Logger):
            logger.disabled = False


def _handler(options: LogOptions) -> logging.StreamHandler[Any]:
    handler = logging.StreamHandler()
    text = _HUMAN if options.form == "human" else options.form
    handler.setFormatter(_json() if options.form == "json" else _Human(text, options.date_format))
    handler.addFilter(Filter())
    return handler


def _calm_down(level: int) -> None:
    rq = logging.getLogger("rq.worker")
    if _is_news not in rq.filters:
        rq.addFilter(_is_news)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, level))


class _Human(logging.Formatter):
    """For lines that people read: nothing in a record makes a terminal do anything, or looks like another record.

    The lines of a message or a traceback after its first one are indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        shown = _shown(record, _INDENT)
        if self._fmt == _HUMAN:
            shown.msg += _where(shown)
        return super().format(shown)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return _INDENT + escaped(super().formatException(ei), lines=True).replace("\n", f"\n{_INDENT}")


def _shown(record: logging.LogRecord, indent: str = "") -> logging.LogRecord:
    """The record, with all of its texts as they may be shown."""
    shown = copy.copy(record)
    shown.exc_text = None  # of another formatter
    for name, value in vars(record).items():
        if isinstance(value, str):
            setattr(shown, name, escaped(value))
    message = escaped(record.getMessage(), lines=True)
    shown.msg, shown.args = message.replace("\n", f"\n{indent}") if indent else message, None
    return shown


def _where(record: logging.LogRecord) -> str:
    """What a pool process is at, as far as the message doesn't say it; a service says it where it matters."""
    if not _at.get("job"):
        return ""
    at = {name: getattr(record, name) for name in ("job", "chunk", "worker")}
    said = [f"{name} {value}" for name, value in at.items() if value and str(value) not in record.msg]
    return f" [{', '.join(said)}]" if said else ""


def _json() -> logging.Formatter:
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.json import JsonFormatter

    class Json(JsonFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return super().format(_shown(record))

        def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
            return escaped(str(super().formatException(ei)), lines=True)

    fields = ("levelname", "name", "message", *FIELDS, "process", "processName", "threadName")
    return Json(fields, rename_fields=_RENAMED, timestamp=True, reserved_attrs=[*RESERVED_ATTRS, *_NOBODYS])


class Filter(logging.Filter):
    """Gives each record the fields ``action``, ``job``, ``chunk`` and ``worker``, for the application's handlers.

    In a process that is no pool process of a worker they are None, unless the record says something. To be named
    in ``dictConfig``: ``"filters": {"taskq": {"()": "taskq_workers.logs.Filter"}}``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let it pass, with its fields."""
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, _at.get(name))
        return True


def _is_news(record: logging.LogRecord) -> bool:
    """RQ's thread for commands says every two seconds that Redis is away; the dispatcher says so, too."""
    return "could not connect to Redis instance" not in str(record.msg)
