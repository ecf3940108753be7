"""Passwords that another program gives."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from taskq import OptionError
from taskq.redis import urls
from taskq.redis.connection import connect
from taskq.redis.credentials import Named


class Provider(redis.CredentialProvider):
    def get_credentials(self) -> tuple[str, str]:
        return "me", "from a class"


def fails() -> str:
    raise OSError("no token today")


@pytest.fixture(autouse=True)
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("theirs")
    vars(module).update(
        password=lambda: "alone", both=lambda: ("me", "secret"), kind=Provider, made=Provider(), fails=fails,
        number=lambda: 7, nothing=lambda: None, no_function=7,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "theirs", module)


@pytest.mark.parametrize(
    ("name", "given"),
    [("password", ("alone",)), ("both", ("me", "secret")), ("kind", ("me", "from a class")),
     ("made", ("me", "from a class"))],
)  # fmt: skip
def test_what_is_given(name: str, given: tuple[str, ...]) -> None:
    url = f"redis://there:7/2?credential_provider=theirs%3A{name}"
    made = connect(url)
    provider: Any = made.connection_pool.connection_kwargs["credential_provider"]
    assert provider.get_credentials() == given
    assert urls.whole_url_of(made) == url
    by_sentinel = connect(f"redis+sentinel://a:1/main/0?credential_provider=theirs:{name}")
    assert by_sentinel.connection_pool.connection_kwargs["credential_provider"].get_credentials() == given
    assert urls.whole_url_of(by_sentinel) == f"redis+sentinel://a:1/main/0?credential_provider=theirs%3A{name}"


@pytest.mark.parametrize("name", ["fails", "number", "nothing"])
def test_one_that_fails_may_do_better_in_a_while(name: str) -> None:
    with pytest.raises(RedisConnectionError, match=f"theirs:{name}"):
        Named(f"theirs:{name}").get_credentials()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://host?credential_provider=theirs", "can't be had, as in module:name"),
        ("redis://host?credential_provider=theirs:missing", "can't be had"),
        ("redis://host?credential_provider=nowhere.at_all:name", "can't be had"),
        ("redis://host?credential_provider=theirs:no_function", "neither a function nor"),
        ("redis://me:secret@host?credential_provider=theirs:both", "either user and password, or"),
        ("unix:///s?password=secret&credential_provider=theirs:both", "either user and password, or"),
    ],
)
def test_what_can_not_be_had_is_said(url: str, told: str) -> None:
    with pytest.raises(OptionError, match=told) as caught:
        connect(url)
    assert "secret" not in str(caught.value)
