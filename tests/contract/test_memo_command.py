"""``taskq memo``: what it says of memos, and removes of them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from taskq import Queue
from taskq.maps import memo
from taskq.redis import keys
from taskq.testing import drain
from taskq_workers.cli import cli, exits
from tests import jobs


def said(url: str, *arguments: str, code: int = exits.OK) -> str:
    result = CliRunner().invoke(cli, ["memo", *arguments], env={"TASKQ_URL": url})
    assert result.exit_code == code, result.output
    return result.stdout if code == exits.OK and result.stdout else result.stderr


@pytest.fixture
def filled(real_queue: Queue, server_url: str) -> str:
    real_queue.map(jobs.square, range(3), memo="squares", memo_ttl=-1)
    real_queue.map(jobs.square, [7], memo="others")
    drain(real_queue)
    return server_url


def test_listed(filled: str) -> None:
    found = [json.loads(line) for line in said(filled, "ls", "--json").splitlines()]
    by_name = {one.pop("memo"): one for one in found}
    assert by_name["squares"] == {"function": "square", "results": 3, "ttl": None}
    assert 0 < by_name["others"]["ttl"] <= memo.TTL + memo.BEYOND
    table = said(filled, "ls")
    assert "never" in table
    assert "in 37.0 days" in table


def test_shown(filled: str, real_queue: Queue) -> None:
    found = [json.loads(line) for line in said(filled, "show", "squares", "--json").splitlines()]
    assert {(one["key"], one["item"]) for one in found} == {("0", 0), ("1", 1), ("2", 2)}
    assert len(said(filled, "show", "squares", "--json", "--limit", "2").splitlines()) == 2
    assert "3 results of square in the memo squares" in said(filled, "show", "squares")
    one = json.loads(said(filled, "show", "squares", "2"))
    assert (one["key"], one["value"], one["item"]) == ("2", 4, 2)
    assert "nothing under the key '9'" in said(filled, "show", "squares", "9", code=exits.ERROR)
    assert "there is no memo 'x'" in said(filled, "show", "x", code=exits.ERROR)


def test_removed(filled: str, real_queue: Queue) -> None:
    assert "removed 1 of 2 from the memo squares" in said(filled, "rm", "squares", "1", "9")
    assert json.loads(said(filled, "ls", "--json").splitlines()[-1])["results"] in (1, 2)
    assert "removed the memo squares" in said(filled, "rm", "squares")
    assert "there is no memo 'squares'" in said(filled, "rm", "squares", code=exits.ERROR)
    assert [json.loads(line)["memo"] for line in said(filled, "ls", "--json").splitlines()] == ["others"]
    assert not real_queue.connection.keys("taskq:memo:{squares}*")


def test_one_that_can_not_be_read_is_listed_and_removed(filled: str, real_queue: Queue) -> None:
    real_queue.connection.hset(keys.memo("squares"), "header", "x")
    assert "no header that can be read" in said(filled, "ls")
    assert "no header that can be read" in said(filled, "show", "squares", code=exits.ERROR)
    real_queue.connection.delete(keys.memo("others"))
    real_queue.connection.set(keys.memo("others"), "x")
    assert "others" in said(filled, "ls")
    said(filled, "rm", "squares")
    said(filled, "rm", "others")
    assert said(filled, "ls", "--json") == ""
