"""RQ's settings modules."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import click
import pytest

from taskq import OptionError
from taskq.redis.connection import DEFAULT_URL
from taskq_workers.cli.rq_config import read_config
from taskq_workers.cli.worker import worker


def parsed(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """What comes of a module with these settings, and this command line."""
    module = types.ModuleType("their_settings")
    vars(module).update(settings)
    monkeypatch.setitem(sys.modules, "their_settings", module)
    ctx: click.Context = worker.make_context("worker", list(arguments))
    return read_config(ctx, "their_settings")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASKQ_URL", "TASKQ_QUEUES", "RQ_REDIS_URL", *(name for name in os.environ if "REDIS_" in name)):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, {"url": DEFAULT_URL}),
        ({"REDIS_URL": "redis://there/1", "other": 1}, {"url": "redis://there/1"}),
        (
            {"QUEUES": ["high", "low"], "NAME": "mine"},
            {"url": DEFAULT_URL, "queues": ("high", "low"), "name": "mine"},
        ),
        (
            {"BEFORE_JOB": "app.begin", "AFTER_JOB": ["app.end", print], "DICT_CONFIG": {"version": 1}},
            {
                "url": DEFAULT_URL,
                "before_job": ("app.begin",),
                "after_job": ("app.end", print),
                "dict_config": "their_settings",
            },
        ),
        ({"REDIS_HOST": "there"}, {"url": "redis://there:6379/0"}),
        (
            {"REDIS_HOST": "there", "REDIS_PORT": 7, "REDIS_DB": 2, "REDIS_PASSWORD": "a@b"},
            {"url": "redis://:a%40b@there:7/2"},
        ),
        (
            {"REDIS_HOST": "there", "REDIS_SSL": "yes", "REDIS_SSL_CA_CERTS": "/ca.pem"},
            {"url": "rediss://there:6379/0?ssl_ca_certs=%2Fca.pem&ssl_cert_reqs=required"},
        ),
    ],
)
def test_what_is_read(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], found: dict[str, Any]) -> None:
    assert parsed(monkeypatch, settings) == found


def test_command_line_and_environment_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"REDIS_URL": "redis://there", "QUEUES": ["low"], "NAME": "theirs"}
    assert parsed(monkeypatch, settings, "high", "--url", "redis://here", "--name", "mine") == {}
    monkeypatch.setenv("RQ_REDIS_URL", "redis://elsewhere")
    assert parsed(monkeypatch, settings) == {"queues": ("low",), "name": "theirs"}


THEIRS = {  # as RQ documents it
    "INSTANCES": [("a", 26379), ("b", 7)], "MASTER_NAME": "main", "DB": 2, "USERNAME": "me", "PASSWORD": "p/w",
    "SOCKET_TIMEOUT": None, "CONNECTION_KWARGS": {"socket_connect_timeout": 1},
    "SENTINEL_KWARGS": {"username": "you", "password": "s"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("sentinel", "url"),
    [
        (THEIRS, "redis+sentinel://me:p%2Fw@a:26379,b:7/main/2?sentinel_username=you&sentinel_password=s"),
        ({"INSTANCES": [("a", 1)]}, "redis+sentinel://a:1/mymaster/0"),
        (
            {"INSTANCES": [("a", 1)], "SSL": True, "CONNECTION_KWARGS": {"ssl_ca_certs": "/ca.pem"}},
            "rediss+sentinel://a:1/mymaster/0?ssl_ca_certs=%2Fca.pem&sentinel_ssl=no",
        ),
    ],
)
def test_sentinel_as_rq_has_it(monkeypatch: pytest.MonkeyPatch, sentinel: dict[str, Any], url: str) -> None:
    assert parsed(monkeypatch, {"SENTINEL": sentinel, "REDIS_HOST": "is not asked"})["url"] == url


UNSAID = {"SENTINEL": {"CONNECTION_KWARGS": {"ssl_keyfile": "a", "encoding": "utf-7"}}}


@pytest.mark.parametrize("settings", [UNSAID, {"SENTINEL": "a text"}, {"REDIS_SSL": "perhaps"}])
def test_what_can_not_be_had_is_refused(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(settings))):
        parsed(monkeypatch, settings)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, DEFAULT_URL),
        ({"REDIS_URL": "redis://there/1", "REDIS_HOST": "elsewhere"}, "redis://there/1"),
        ({"REDIS_HOST": "there", "REDIS_PORT": "7", "REDIS_DB": "2"}, "redis://there:7/2"),
        ({"REDIS_PASSWORD": "a@b", "REDIS_URL": ""}, "redis://:a%40b@localhost:6379/0"),
        ({"REDIS_HOST": "there", "SENTINEL": "is some other program's"}, "redis://there:6379/0"),
        ({"REDIS_SERVICE_HOST": "is Kubernetes'"}, DEFAULT_URL),
        ({"RQ_REDIS_URL": "redis://first", "REDIS_URL": "redis://there"}, "redis://first"),
        ({"TASKQ_URL": "redis://ours", "RQ_REDIS_URL": "redis://first"}, "redis://ours"),
        ({"RQ_REDIS_URL": "", "REDIS_URL": "redis://there"}, "redis://there"),
    ],
)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert worker.make_context("worker", []).params["url"] == url
    assert worker.make_context("worker", ["--url", "redis://given"]).params["url"] == "redis://given"


def test_beside_a_module_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    assert parsed(monkeypatch, {"REDIS_HOST": "there"}) == {"url": "redis://there:6379/0"}
    assert parsed(monkeypatch, {}) == {"url": DEFAULT_URL}


def test_an_environment_that_rq_can_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_SSL", "perhaps")
    with pytest.raises(OptionError, match="REDIS_SSL"):
        worker.make_context("worker", [])
