"""Which server is the primary, as sentinels say, and what is made of what they say."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import MasterNotFoundError

from taskq.redis import reach, sentinel, sentinel_urls
from taskq.redis.sentinel import Primary

OLD, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6379)
GONE = RedisConnectionError("Connection refused.")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each of three sentinels says: number of the fail-over, address, whether that is up; or an error."""
    told: dict[str, Any] = dict.fromkeys("abc", (0, OLD, True))

    def ask(one: Any, _name: str) -> Any:
        answer = told[one.connection_pool.connection_kwargs["host"]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sentinel, "_ask", ask)
    return told


@pytest.fixture
def primary() -> Primary:
    found = sentinel_urls.read("redis+sentinel://a,b,c/main/0")
    assert isinstance(found, sentinel_urls.BySentinel)
    return Primary(found, {})


def test_the_first_one_that_answers_tells(primary: Primary, answers: dict[str, Any]) -> None:
    answers.update(a=GONE, b=(1, NEW, True))
    assert primary.address() == NEW
    answers["c"] = (1, OLD, True)
    assert primary.address() == NEW, "b is asked first from now on"


def test_one_that_has_not_heard_of_the_fail_over_is_not_believed(
    primary: Primary, answers: dict[str, Any]
) -> None:
    answers["a"] = (3, NEW, True)
    assert primary.address() == NEW
    answers.update(a=GONE, b=(2, OLD, True), c=(3, NEW, True))
    assert primary.address() == NEW
    assert primary.instead_of(NEW) == ""
    assert primary.instead_of(OLD) == "10.0.0.2:6379"


def test_sentinels_that_were_set_up_anew_are_believed(primary: Primary, answers: dict[str, Any]) -> None:
    answers["a"] = (3, OLD, True)
    assert primary.address() == OLD
    answers.update(a=(0, NEW, True), b=(0, NEW, True), c=(0, NEW, True))
    assert primary.address() == NEW
    answers["a"] = (2, OLD, True)
    assert primary.address() == OLD
    answers.update(a=GONE, b=(1, NEW, True), c=(1, NEW, True))
    assert primary.address() == NEW, "a is gone for good"
    answers.update(b=GONE, c=(0, OLD, True))
    with pytest.raises(MasterNotFoundError):
        primary.address()


def test_a_primary_that_is_down_is_not_told(primary: Primary, answers: dict[str, Any]) -> None:
    answers.update(dict.fromkeys("abc", (0, OLD, False)))
    with pytest.raises(MasterNotFoundError, match=r"no primary 'main' is told.*: it is down, for all they know"):
        primary.address()
    assert primary.instead_of(OLD) == "", "but who is connected waits: it may come back"


def test_without_sentinels_all_goes_on_as_it_was(
    primary: Primary, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert primary.address() == OLD
    answers.update(dict.fromkeys("abc", GONE))
    asked = []
    for _ in range(200):
        now += 0.5
        assert primary.instead_of(OLD) == ""
        asked.append(primary._next)
    assert 10 < len({*asked}) < 20, "less and less often: each try may take long"
    answers.update(dict.fromkeys("abc", (1, NEW, True)))
    now += 10
    assert primary.instead_of(OLD) == "10.0.0.2:6379"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (GONE, None),
        (ResponseError("No such master with that name"), "another name"),
        (ResponseError("unknown command 'SENTINEL', with args beginning with: 'MASTER'"), "It is no sentinel"),
        (AuthenticationError("Authentication required."), "sentinel_password"),
        (AuthenticationError("invalid username-password pair or user is disabled."), "sentinel_password"),
    ],
)
def test_what_waiting_does_not_help(
    primary: Primary, answers: dict[str, Any], error: Exception, remedy: str | None
) -> None:
    answers.update(dict.fromkeys("abc", error))
    with pytest.raises(MasterNotFoundError) as caught:
        primary.address()
    assert str(error).rstrip(".") in str(caught.value)
    final = reach.final(caught.value)
    assert final is None if remedy is None else remedy in (final or "")


def test_one_of_them_that_does_not_know_the_name_settles_nothing(
    primary: Primary, answers: dict[str, Any]
) -> None:
    answers.update(a=ResponseError("No such master with that name"), b=GONE, c=GONE)
    with pytest.raises(MasterNotFoundError) as caught:
        primary.address()
    assert reach.is_away(caught.value)


def test_no_password_is_shown(primary: Primary) -> None:
    found = sentinel_urls.read("redis+sentinel://me:hunter2@a/main/0?sentinel_password=hunter3")
    assert "hunter" not in repr(found)
