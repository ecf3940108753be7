"""Log records: every one of ours says what happened in a word, and carries the same fields."""

from __future__ import annotations

import ast
import json
import logging
import logging.config
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.payload import codec
from taskq_workers import logs
from taskq_workers.logs import FIELDS, LogOptions
from taskq_workers.process import failing
from taskq_workers.process import jobs as pool_jobs
from tests.unit import source

LEVELS = {f"log.{name}" for name in ("debug", "info", "warning", "error", "exception", "critical")}


@pytest.fixture
def own_root() -> Iterator[None]:
    """The root logger as it was, afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs._CHATTY}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, one in levels.items():
        logging.getLogger(name).setLevel(one)
    logs.at(**dict.fromkeys(FIELDS))


def records(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in LEVELS:
            yield node


@pytest.mark.parametrize("path", source.files("taskq", "workers"), ids=lambda path: path.name)
def test_every_record_has_an_action(path: Path) -> None:
    for call in records(path):
        extra = next((word.value for word in call.keywords if word.arg == "extra"), None)
        assert isinstance(extra, ast.Dict), f"{path.name}:{call.lineno}"
        named = {key.value: value for key, value in zip(extra.keys, extra.values, strict=True)
                 if isinstance(key, ast.Constant)}  # fmt: skip
        assert set(named) <= set(FIELDS), f"{path.name}:{call.lineno}"
        assert isinstance(named.get("action"), ast.Constant), f"{path.name}:{call.lineno}"
        assert re.fullmatch(r"[a-z_]+", named["action"].value), f"{path.name}:{call.lineno}"


def test_json(own_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr(LogOptions("info", "json"))
    logs.at(worker="w", job="j", chunk=3)
    logging.getLogger("user.code").info("hello %s", "ä", extra={"tenant": 7})
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("workers.x").exception("oh", extra={"action": "bad_end", "job": "other"})
    logging.getLogger("user.code").debug("not this")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert {name: first[name] for name in FIELDS} == {"action": None, "job": "j", "chunk": 3, "worker": "w"}
    assert (first["message"], first["level"], first["logger"], first["tenant"]) == (
        "hello ä",
        "INFO",
        "user.code",
        7,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", first["timestamp"])
    assert {"process", "process_name", "thread"} <= set(first)
    assert (second["action"], second["job"], second["worker"]) == ("bad_end", "other", "w")
    assert "ZeroDivisionError" in second["exc_info"]


def test_human(own_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr(LogOptions("warning"))
    logging.getLogger("workers.x").warning("50%% of %d", 4)
    logging.getLogger("workers.x").info("not this")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("workers.x: 50% of 4")
    assert " WARNING " in line


def test_twice_is_as_once(own_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A pool process may have inherited what its service set up."""
    logs.to_stderr(LogOptions())
    logs.to_stderr(LogOptions("error", "json"))
    logging.getLogger("x").error("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


NASTY = "a\x1b]0;owned\x07b\u202ec\x9bd\n2026-01-01 00:00:00,000 INFO    [1] taskq: all is well\udcff"


def log_something_nasty() -> list[str]:
    """Written in all ways in which a text can come into a record; returns the loggers' names."""
    logging.getLogger("one").error("of %s", NASTY)
    logging.getLogger("two").error(NASTY)
    logging.getLogger("three").error("of a job", extra={"job": NASTY, "tenant": NASTY})
    try:
        raise ValueError(NASTY)
    except ValueError:
        logging.getLogger("four").exception("oh", extra={"action": "bad_end"})
    return ["one", "two", "three", "four"]


def harmless(text: str) -> bool:
    return not set(text) & set("\x1b\x07\x9b\u202e\udcff")


@pytest.mark.parametrize("form", ["human", "%(levelname)s %(message)s %(job)s", "json"])
def test_nothing_that_a_terminal_would_obey(own_root: None, capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.to_stderr(LogOptions("info", form))
    names = log_something_nasty()
    lines = capsys.readouterr().err.splitlines()
    assert all(map(harmless, lines))
    assert not [line for line in lines if line.startswith("2026-01-01")]
    assert r"a\x1b]0;owned\x07b\u202ec\x9bd" in "\n".join(lines).replace("\\\\", "\\")
    if form == "json":
        values = [value for line in lines for value in json.loads(line).values() if isinstance(value, str)]
        assert [json.loads(line)["logger"] for line in lines] == names
        assert all(map(harmless, values))


def test_a_format_of_the_user_s_stays(own_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_stderr(LogOptions("info", "\x1b[1m%(message)s\x1b[0m"))
    logging.getLogger("x").warning("bold\nand more")
    assert capsys.readouterr().err == "\x1b[1mbold\n    and more\x1b[0m\n"


def test_the_application_s_own_handlers_may_have_the_fields(
    own_root: None, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {"format": "APP %(job)s %(chunk)s %(worker)s %(action)s %(message)s"}
    handler = {"class": "logging.StreamHandler", "formatter": "app", "filters": ["taskq"]}
    logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": False, "filters": {"taskq": {"()": "taskq_workers.logs.Filter"}},
        "formatters": {"app": shown}, "handlers": {"app": handler}, "root": {"handlers": ["app"]},
    })  # fmt: skip
    logging.getLogger("shop").warning("before")
    logs.at(job="a", chunk="0:2", worker="w")
    logging.getLogger("shop").warning("in a chunk", extra={"action": "sold"})
    said = capsys.readouterr().err
    assert said == "APP None None None None before\nAPP a 0:2 w sold in a chunk\n"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("%(jobid)s", "'jobid'; the fields are action, .*job, .*worker"),
        ("%(process)q", "unsupported|Invalid format"),
        ("nothing", "[Ii]nvalid [Ff]ormat"),
    ],
)
def test_a_format_by_which_no_line_can_be_made_is_refused(form: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        logs.check_format(form)
    logs.check_format("%(asctime)s %(job)s %(chunk)s %(message)s %(levelname)s")


def test_arguments_of_failed_jobs_are_in_no_log(own_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    """RQ adds them to the record of a failure, for handlers of the application's."""
    data = codec.dumps(("tests.jobs.square", None, ("secret-1",), {"by": "secret-2"}))
    job = pool_jobs.job_of("one", {b"data": data})
    for form in ("human", "json"):
        logs.to_stderr(LogOptions("info", form))
        failing.tell(job, (ValueError, ValueError("no"), None))
        said = capsys.readouterr().err
        assert "exception raised while executing (tests.jobs.square)" in said
        assert "secret" not in said
