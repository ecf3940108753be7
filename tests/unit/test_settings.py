"""What a worker is told at its start."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import click
import pytest

from taskq import OptionError
from taskq_workers.cli.rq_options import read
from taskq_workers.cli.worker import worker
from taskq_workers.rq_options import RQOptions
from taskq_workers.settings import Settings, usable_cores, worker_name, worker_prefix
from taskq_workers.user_code import UserCode

URL = "redis://me:secret@host:6379/0"


def test_defaults() -> None:
    settings = Settings(URL)
    assert settings.queues == ("default",)
    assert (settings.services, settings.processes) == (1, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("services", 0), ("services", -1), ("processes", 0), ("grace", -0.1), ("lease", 0.5), ("lease", 0)],
)
def test_out_of_range(field: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{field} must be at least .*, not {value}"):
        Settings(URL, **{field: value})


@pytest.mark.parametrize(("field", "value"), [("services", 1), ("processes", 1), ("grace", 0), ("lease", 1)])
def test_the_least(field: str, value: Any) -> None:
    assert getattr(Settings(URL, **{field: value}), field) == value


def test_no_queue() -> None:
    with pytest.raises(OptionError, match="at least one queue"):
        Settings(URL, queues=())


def test_they_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings(URL).processes = 7  # type: ignore[misc]


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Settings(URL)) + str(Settings(URL))
    assert "default" in repr(Settings(URL))


def test_cores() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_names_of_one_service_are_found_by_its_prefix() -> None:
    names = {worker_name("17", 1) for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith(worker_prefix("17", 1)) for name in names)
    assert not any(
        name.startswith(prefix) for name in names for prefix in (worker_prefix("17", 11), worker_prefix("1", 7))
    )


def test_a_name_has_no_colon() -> None:
    """RQ's keys are split at colons to find the name."""
    assert ":" not in worker_name("17", 1)


def options(*arguments: str) -> RQOptions:
    return read(worker.make_context("worker", ["--url", URL, *arguments]).params)


@pytest.mark.parametrize(
    ("path", "strategy"),
    [
        ("rq.Worker", "default"),
        ("rq.worker.Worker", "default"),
        ("rq.SpawnWorker", "default"),
        ("rq.worker.HerokuWorker", "default"),
        ("rq.worker.RoundRobinWorker", "round_robin"),
        ("rq.worker.worker_classes.RandomWorker", "random"),
    ],
)
def test_the_worker_classes_of_rq(path: str, strategy: str) -> None:
    assert options("-w", path).dequeue_strategy == strategy


@pytest.mark.parametrize("given", ["w@host", "a:b", "with space", "*" * 300])
def test_any_name(given: str) -> None:
    name = options("--name", given).name
    assert name.startswith(given[:1].replace("*", "_"))
    assert not set(name) & set(": *")


def test_numbers_as_rq_reads_them() -> None:
    found = options("--max-jobs", "0", "--worker-ttl", "0", "--maintenance-interval", "0")
    assert (found.max_jobs, found.worker_ttl, found.maintenance_interval) == (1, 420, 0)


def test_no_format() -> None:
    with pytest.raises(click.BadParameter, match="human"):
        options("--log-format", "nonsense")


@pytest.mark.parametrize("option", ["--app", "--django"])
def test_an_option_that_is_empty_is_no_option(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.BadParameter, match="it is empty"):
        options(option, "")
    monkeypatch.setenv(f"TASKQ_{option.removeprefix('--').upper()}", "")
    assert options().user == UserCode()


def test_an_app_may_be_written_as_flask_has_it() -> None:
    assert options("--app", "tests.hooks:create_app()").user.app.name == "tests.hooks.create_app"


def test_the_help_hides_no_option_of_rq_s() -> None:
    said = worker.get_help(click.Context(worker))
    assert all(f"--{name}" in said for name in ("worker-class", "connection-class", "disable-job-desc-logging"))
