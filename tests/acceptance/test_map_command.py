"""``taskq map`` and its kin against a real worker: what is on stdout, on stderr, and the exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rq.suspension import resume, suspend

from taskq import MapJob, Queue
from taskq_workers.cli import cli, exits
from tests import jobs
from tests.acceptance.worker import ROOT, Workers, environment, run
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def url(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server with one worker, for all tests of this module."""
    workers = Workers(server_url, tmp_path_factory.mktemp("workers"))
    queue = Queue(url=server_url)
    queue.connection.flushdb()
    workers.ready(processes=2)
    yield server_url
    workers.close()
    queue.connection.flushdb()
    queue.connection.close()


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@dataclass
class Told:
    """What a command said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def taskq(url: str, *arguments: str, stdin: str = "") -> Told:
    """The command, in this process: half a second less than starting it."""
    result = CliRunner().invoke(cli, arguments, input=stdin, env={"TASKQ_URL": url})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Told(result.exit_code, result.stdout, result.stderr)


def start(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "taskq", *arguments], cwd=ROOT, env=environment(TASKQ_URL=url), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def id_in(stderr: str) -> str:
    found = re.search(r"taskq: map (\S+)", stderr)
    assert found, stderr
    return found[1]


def test_in_the_order_of_the_items(url: str) -> None:
    told = run("map", "tests.jobs:square", "--range", "500", TASKQ_URL=url)
    assert told.returncode == exits.OK
    assert lines(told.stdout) == [{"item": n, "value": n * n} for n in range(500)]
    assert told.stderr.splitlines() == [f"taskq: map {id_in(told.stderr)}"]  # no bar: stderr is no terminal


def test_items_are_json_or_text(url: str) -> None:
    told = taskq(url, "map", "builtins:repr", "4", '"4"', "four", "[1, 2]", "null", "--values")
    assert lines(told.stdout) == ["4", "'4'", "'four'", "[1, 2]", "None"]


@pytest.mark.parametrize(
    ("form", "stdin", "values"),
    [
        ("lines", "alpha\nbeta\r\n\n", ["'alpha'", "'beta'", "''"]),
        ("json", '1\n\n{"a": [2]}\n', ["1", "{'a': [2]}"]),
        (
            "csv",
            'name,age\n"Ann, B.",3\nBob,4\n',
            ["{'name': 'Ann, B.', 'age': '3'}", "{'name': 'Bob', 'age': '4'}"],
        ),
        ("lines", "", []),
    ],
)
def test_items_from_stdin(url: str, form: str, stdin: str, values: list[str]) -> None:
    told = taskq(url, "map", "builtins:repr", "--stdin", form, "--values", stdin=stdin)
    assert told.returncode == exits.OK, told.stderr
    assert lines(told.stdout) == values


def test_arguments(url: str) -> None:
    told = taskq(url, "map", "tests.jobs:add", "--star", "--stdin", "json", "--values", stdin="[1, 2]\n[3, 4]\n")
    assert told.stdout == "3\n7\n"


def test_failed_items(url: str) -> None:
    told = taskq(url, "map", "tests.jobs:invert", "1", "0", "4")
    assert told.returncode == exits.ITEMS_FAILED
    error = {"type": "ZeroDivisionError", "message": "division by zero", "attempts": 1}
    assert lines(told.stdout) == [
        {"item": 0, "value": 1.0},
        {"item": 1, "error": error},
        {"item": 2, "value": 0.25},
    ]
    assert f"taskq: 1 of 3 items failed; see them grouped: taskq show {id_in(told.stderr)}" in told.stderr
    bare = taskq(url, "results", id_in(told.stderr), "--values")
    assert (bare.stdout, bare.returncode) == ("1.0\nnull\n0.25\n", exits.ITEMS_FAILED)


def test_a_result_that_this_process_cannot_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.Absent, "absent", True)
    told = taskq(url, "map", "tests.jobs:absent_at_3", "--range", "5")
    assert told.returncode == exits.ITEMS_FAILED
    found = lines(told.stdout)
    assert [line.get("value") for line in found] == [0, 1, 2, None, 4]
    assert found[3]["error"]["type"] == "ItemError"
    assert "can't be unpickled here" in found[3]["error"]["message"]


def test_as_completed(url: str) -> None:
    told = taskq(url, "map", "tests.jobs:come_last", "0", "1", "--chunksize", "1", "--as-completed")
    assert [line["item"] for line in lines(told.stdout)] == [1, 0]


@pytest.mark.parametrize("options", [(), ("--as-completed",)])
def test_results_that_are_not_all_there(url: str, options: tuple[str, ...]) -> None:
    job = Queue(url=url).map(jobs.square, range(6), chunksize=2)
    assert len(job.get(timeout=HANGS)) == 6
    assert taskq(url, "results", job.id, *options).returncode == 0
    job.connection.rpop(job.store.keys.spans)
    told = taskq(url, "results", job.id, *options)
    assert told.returncode not in (exits.OK, exits.ITEMS_FAILED)
    assert f"{job.store.keys.results} has 6 elements, and its spans tell of 4" in told.stderr


def test_a_function_that_the_workers_do_not_have(url: str) -> None:
    told = taskq(url, "map", "nowhere:nothing", "1")
    assert told.returncode == exits.ENDED_EARLY
    assert told.stdout == ""
    assert "the function nowhere.nothing can't be loaded by the worker" in told.stderr


def test_numbers_below_0_are_items(url: str) -> None:
    told = taskq(url, "map", "builtins.abs", "-4", "-2.5", "-1e3", "--values", "--chunksize", "1", "-0.5")
    assert (told.returncode, told.stdout.split()) == (exits.OK, ["4", "2.5", "1000.0", "0.5"]), told.stderr
    told = taskq(url, "map", "builtins:len", "--values", "--", "-x", "--retry")
    assert (told.returncode, told.stdout.split()) == (exits.OK, ["2", "7"]), told.stderr


def test_what_fails_is_tried_again_and_what_takes_too_long_fails(url: str, tmp_path: Path) -> None:
    told = taskq(url, "map", "time:sleep", str(LONG), "0", "--item-timeout", "0.2", "--chunksize", "1")
    assert told.returncode == exits.ITEMS_FAILED
    first, second = map(json.loads, told.stdout.splitlines())
    assert (first["error"]["type"], second) == ("ItemTimeoutError", {"item": 1, "value": None})
    job_id = taskq(url, "map", "time.sleep", "0", "--retry", "2", "--detach").stdout.strip()
    job = MapJob.fetch(job_id, connection=Queue(url=url).connection)
    assert job.retries_left == 2
    assert job.wait(HANGS)


def kept_of_jobs(connection: Any) -> set[bytes]:
    """The keys of jobs; those of workers come and go by themselves."""
    return {*connection.keys("rq:job:*"), *connection.keys("taskq:{*")}


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (("math:sqrt",), "", exits.USAGE, "there is none"),
        (("math:sqrt", "1", "--range", "3"), "", exits.USAGE, "ITEMS and --range"),
        (("sqrt", "1"), "", exits.USAGE, "MODULE:FUNCTION"),
        (("math:sqrt", "-x"), "", exits.USAGE, "No such option '-x'"),
        (("math:sqrt", "1", "--chunksiz=1"), "", exits.USAGE, "No such option '--chunksiz'. Did you mean"),
        (("math:sqrt", "1", "--retry", "0"), "", exits.USAGE, "Invalid value for '--retry'"),
        (("math:sqrt", "1", "--item-timeout", "0"), "", exits.USAGE, "Invalid value for '--item-timeout'"),
        (("math:sqrt", "1", "--item-timeout", "1e10"), "", exits.USAGE, "Invalid value for '--item-timeout'"),
        (("math:sqrt", "--stdin", "json"), "1\n[\n", exits.ERROR, "line 2 of stdin is not JSON"),
        (("math:sqrt", "--stdin", "csv"), "a,b\n1\n", exits.ERROR, "line 2 of stdin has not as many fields"),
        (("math:sqrt", "--stdin", "csv"), "a,b,a\n1,2,3\n", exits.ERROR, "names 'a' twice"),
        (("math:sqrt", "1", "--job-timeout", "soon"), "", exits.USAGE, "can't be made with these options"),
        (("math:sqrt", "1", "--rate", "5"), "", exits.USAGE, "rate must be"),
        (("math:sqrt", "1", "--memo-ttl", "5"), "", exits.USAGE, "memo_ttl"),
        (("math:sqrt", "1", "--initarg", "5"), "", exits.USAGE, "initargs are for an initializer"),
        (("math:sqrt", "1", "--first", "1", "--then", "math:sqrt"), "", exits.USAGE, "keeps all of its results"),
        (
            ("math:sqrt", "1", "--results", "discard", "--reduce", "builtins:max"),
            "",
            exits.USAGE,
            "keeps all of its",
        ),
    ],
)
def test_what_cannot_be_mapped(url: str, arguments: tuple[str, ...], stdin: str, code: int, words: str) -> None:
    with Queue(url=url).connection as connection:
        before = kept_of_jobs(connection)
        told = taskq(url, "map", *arguments, stdin=stdin)
        assert (told.returncode, told.stdout) == (code, "")
        assert words in " ".join(told.stderr.split())
        assert kept_of_jobs(connection) == before


def test_results_come_while_the_map_runs(url: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    process = start(url, "map", "tests.jobs:wait_for", "", str(flag), "--chunksize", "1")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == {"item": 0, "value": ""}
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=HANGS)
    assert (stdout, process.returncode) == ("", exits.INTERRUPTED)
    job_id = id_in(stderr)
    assert f"come back to it with: taskq attach {job_id}" in stderr
    assert MapJob.fetch(job_id, connection=Queue(url=url).connection).get_status() == "started"

    again = start(url, "attach", job_id, "--cancel-on-interrupt")
    assert again.stdout is not None
    assert json.loads(again.stdout.readline()) == {"item": 0, "value": ""}
    again.send_signal(signal.SIGINT)
    stdout, stderr = again.communicate(timeout=HANGS)
    assert (stdout, again.returncode) == ("", exits.INTERRUPTED)
    assert f"the map {job_id} was cancelled" in stderr
    told = taskq(url, "results", job_id)
    assert told.returncode == exits.ENDED_EARLY
    assert lines(told.stdout) == [{"item": 0, "value": ""}]
    assert f"the map {job_id} was cancelled with 1 of 2 items done" in told.stderr
    flag.touch()


def streamed(url: str, *arguments: str) -> subprocess.Popen[str]:
    """The command, with a pipe for its items."""
    command = [sys.executable, "-m", "taskq", "map", *arguments, "--follow"]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, env=environment(TASKQ_URL=url), cwd=ROOT, text=True, bufsize=1, **pipes)


def test_each_line_of_a_pipe_is_run_as_it_comes(url: str) -> None:
    with streamed(url, "builtins:len", "--stdin", "lines", "--values") as command:
        assert command.stdin
        assert command.stdout
        for text in ("a", "bcd", ""):
            command.stdin.write(f"{text}\n")
            assert command.stdout.readline() == f"{len(text)}\n", "while the pipe is open"
        out, _err = command.communicate("xy\n", timeout=HANGS)
        assert (out, command.returncode) == ("2\n", exits.OK)


def test_ctrl_c_ends_the_reading_and_the_map_with_it(url: str) -> None:
    with streamed(url, "builtins:len", "--stdin", "lines") as command:
        assert command.stdin
        assert command.stdout
        command.stdin.write("abc\n")
        assert json.loads(command.stdout.readline()) == {"item": 0, "value": 3}
        command.send_signal(signal.SIGINT)
        assert command.wait(HANGS) == exits.INTERRUPTED
        assert command.stderr
        said = command.stderr.read()
    found = re.search(r"taskq attach ([0-9a-f-]+)", said)
    assert found, said
    assert "Fatal" not in said
    assert Queue(url=url).fetch_job(found[1]).get(timeout=HANGS) == [3]


def test_a_line_that_is_wrong_ends_it_after_those_before(url: str) -> None:
    told = taskq(url, "map", "builtins:abs", "--stdin", "json", "--follow", "--values", stdin="-1\n-2\nx\n-3\n")
    assert (told.returncode, told.stdout) == (exits.ERROR, "1\n2\n")
    assert "line 3 of stdin is not JSON" in told.stderr
    for arguments in (("5", "--follow"), ("--stdin", "json", "--follow", "--detach")):
        assert taskq(url, "map", "builtins:abs", *arguments, stdin="1").returncode == exits.USAGE


def test_ctrl_c_before_all_items_are_there(url: str) -> None:
    with Queue(url=url).connection as connection:
        before = set(connection.keys("taskq:{*"))
        process = subprocess.Popen(
            [sys.executable, "-m", "taskq", "map", "math:sqrt", "--stdin", "json"], cwd=ROOT, text=True,
            env=environment(TASKQ_URL=url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write("4\n" * 100_000)
        process.stdin.flush()
        wait_until(lambda: connection.keys("taskq:{*}:pending"), "it writes items")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=HANGS)
        assert (stdout, process.returncode) == ("", exits.INTERRUPTED)
        assert stderr == "taskq: nothing was pushed, for not all items were there yet\n"
        assert not set(connection.keys("taskq:{*")) - before


def test_what_follows_runs_on_the_results(url: str) -> None:
    told = taskq(url, "map", "tests.jobs:square", "--range", "5", "--then", "math:sqrt", "--then", "builtins:str",
                 "--values")  # fmt: skip
    assert (lines(told.stdout), told.returncode) == (["0.0", "1.0", "2.0", "3.0", "4.0"], exits.OK)
    assert Queue(url=url).fetch_job(id_in(told.stderr)).get(timeout=HANGS) == lines(told.stdout)
    told = taskq(url, "map", "math:factorial", "--range", "9", "--reduce", "builtins:max")
    assert lines(told.stdout) == [{"item": 0, "value": 40320}]
    told = taskq(url, "map", "math:factorial", "--range", "9", "--then", "math:sqrt", "--detach")
    assert Queue(url=url).fetch_job(told.stdout.strip()).get(timeout=HANGS)[4] == 24**0.5


def test_what_follows_a_pipe_runs_on_the_results_as_they_come(url: str) -> None:
    with streamed(url, "builtins:len", "--stdin", "lines", "--then", "builtins:str", "--values") as command:
        assert command.stdin
        assert command.stdout
        command.stdin.write("abc\n")
        assert command.stdout.readline() == '"3"\n', "while the pipe is open"
        out, _err = command.communicate("xy\n", timeout=HANGS)
        assert (out, command.returncode) == ('"2"\n', exits.OK)


def test_what_can_t_follow_is_said_before_anything_is_pushed(url: str) -> None:
    with Queue(url=url).connection as connection:
        before = set(connection.keys("rq:job:*"))
        for arguments in (
            ("--then", "nonsense"),
            ("--reduce", "x"),
            ("--then", "math:sqrt", "--if-exists", "attach"),
            ("--results", "discard", "--then", "math:sqrt"),
            ("--first", "1", "--reduce", "builtins:max"),
        ):
            told = taskq(url, "map", "math:factorial", "5", *arguments)
            assert told.returncode == exits.USAGE
        assert set(connection.keys("rq:job:*")) == before


def test_what_is_in_a_memo_is_not_run(url: str) -> None:
    for count, hits in ((4, 0), (8, 4)):
        told = taskq(url, "map", "tests.jobs:square", "--range", str(count), "--memo", "squares", "--values")
        assert lines(told.stdout) == [n * n for n in range(count)]
        shown = json.loads(taskq(url, "show", id_in(told.stderr), "--json").stdout)
        assert shown["items"]["terms"] == {"memo": "squares", "memo_hits": hits}
    assert "  memo: squares\n  memo_hits: 4\n" in taskq(url, "show", id_in(told.stderr)).stdout


def test_the_same_map_once_more(url: str) -> None:
    command = ("map", "tests.jobs:square", "3", "4", "--job-id", "again", "--values", "--if-exists")
    first, second = (taskq(url, *command, "attach") for _ in range(2))
    assert lines(first.stdout) == lines(second.stdout) == [9, 16]
    shown = json.loads(taskq(url, "show", "again", "--json").stdout)
    assert (shown["status"], shown["items"]["terms"]) == ("finished", {"if_exists": "attach"})
    other = taskq(url, "map", "tests.jobs:square", "3", "--job-id", "again", "--if-exists", "attach")
    assert (other.returncode, other.stdout) == (exits.USAGE, "")
    assert "it has 2 items" in other.stderr


def test_detached_shown_and_killed(url: str) -> None:
    queue = Queue(url=url)
    told = taskq(url, "map", "tests.jobs:nap", str(LONG), "--detach")
    assert told.stderr == ""
    job_id = told.stdout.strip()
    wait_until(lambda: queue.fetch_job(job_id).progress.busy == 1, "a process runs it")
    shown = json.loads(taskq(url, "show", job_id, "--json").stdout)
    assert (shown["kind"], shown["status"], shown["function"]) == ("map", "started", "tests.jobs.nap")
    assert (shown["items"], shown["chunks"]) == (
        {"total": 1, "done": 0, "failed": 0, "sealed": True, "paused": False, "terms": {}},
        {"waiting": 0, "later": 0, "claimed": 1, "twice": 0},
    )
    document = json.loads(taskq(url, "status", "--json").stdout)
    [line] = document["maps"]
    assert (line["id"], line["chunks_claimed"], line["total"]) == (job_id, 1, 1)
    assert [process["job"] for process in document["services"][0]["pool"]].count(job_id) == 1
    running = taskq(url, "results", job_id)
    assert (running.returncode, running.stdout) == (exits.OK, "")
    ended = taskq(url, "cancel", job_id, "--kill")
    assert ended.returncode == exits.OK
    wait_until(
        lambda: not any(one["busy"] for one in json.loads(taskq(url, "status", "--json").stdout)["services"])
    )
    again = taskq(url, "cancel", job_id)
    assert again.returncode == exits.ERROR
    assert "has ended already: it is canceled" in again.stderr


def test_errors_are_grouped_and_failed_items_retried(url: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    items = "\n".join(json.dumps([str(flag), n]) for n in range(4))
    told = taskq(url, "map", "tests.jobs:fail_until", "--star", "--stdin", "json", stdin=items)
    job_id = id_in(told.stderr)
    assert told.returncode == exits.ITEMS_FAILED
    [group] = json.loads(taskq(url, "show", job_id, "--json").stdout)["errors"]
    assert (group["type"], group["count"], group["function"]) == ("ValueError", 1, "fail_until")
    assert group["sample"]["item"] == 2
    assert "not yet" in group["sample"]["traceback"]
    for command, code in (("show", exits.OK), ("report", exits.OK), ("results", exits.ITEMS_FAILED),
                          ("attach", exits.ITEMS_FAILED)):  # fmt: skip
        whole, short = taskq(url, command, job_id), taskq(url, command, job_id[:8])
        assert (short.returncode, len(short.stdout)) == (code, len(whole.stdout)), command
    shown = taskq(url, "show", job_id, "--traceback").stdout
    assert re.search(r" 1 ValueError .*jobs.py:\d+ in fail_until +2 +not yet", shown), shown
    assert 'raise ValueError("not yet")' in shown
    flag.unlink()
    assert taskq(url, "retry", job_id[:8], "--at-front").returncode == exits.OK
    again = taskq(url, "attach", job_id, "--values")
    assert (again.returncode, again.stdout) == (exits.OK, "0\n1\n2\n3\n")
    assert taskq(url, "retry", job_id).returncode == exits.ERROR


def test_what_failed_before_a_retry_is_not_final(url: str, tmp_path: Path) -> None:
    """As long as no worker has come to it again, too."""
    flag = tmp_path / "flag"
    flag.touch()
    queue = Queue(url=url)
    job = queue.starmap(jobs.fail_until, [(str(flag), 1), (str(flag), 2)], chunksize=1)
    assert job.wait(timeout=HANGS)
    suspend(queue.connection)
    try:
        flag.unlink()
        assert taskq(url, "retry", job.id).returncode == exits.OK
        process = start(url, "attach", job.id, "--as-completed")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"item": 0, "value": 1}
    finally:
        resume(queue.connection)
    stdout, _ = process.communicate(timeout=HANGS)
    assert (stdout, process.returncode) == ('{"item": 1, "value": 2}\n', exits.OK)


def test_plain_jobs(url: str) -> None:
    queue = Queue(url=url)
    failed = queue.enqueue("tests.jobs.invert", 0)
    failed.latest_result(timeout=HANGS)
    shown = taskq(url, "show", failed.id)
    assert shown.returncode == exits.OK
    assert "ZeroDivisionError: division by zero" in shown.stdout
    assert "a plain job, not a map" in taskq(url, "results", failed.id).stderr
    listed = lines(taskq(url, "jobs", "--status", "failed", "--json", "--limit", "1").stdout)
    assert [(one["id"], one["kind"], one["status"], one["items"]) for one in listed] == [
        (failed.id, "plain", "failed", None)
    ]
    assert failed.id in taskq(url, "jobs").stdout
    runs = queue.enqueue("tests.jobs.nap", LONG)
    wait_until(lambda: runs.get_status(refresh=True) == "started")
    assert "--kill ends it" in taskq(url, "cancel", runs.id).stderr
    assert taskq(url, "cancel", runs.id, "--kill").returncode == exits.OK
    wait_until(lambda: runs.get_status(refresh=True) == "stopped")


@pytest.mark.parametrize("command", ["show", "attach", "results", "cancel", "retry"])
def test_no_such_job(url: str, command: str) -> None:
    told = taskq(url, command, "nobody")
    assert told.returncode == exits.ERROR
    assert "there is no job 'nobody'" in told.stderr
    assert "`taskq jobs` lists" in told.stderr


def test_a_reader_that_has_seen_enough(url: str) -> None:
    process = start(url, "map", "tests.jobs:square", "--range", "200000")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read()
    assert process.wait(HANGS) == exits.PIPE_CLOSED
    assert "taskq attach" in stderr
    assert "BrokenPipe" not in stderr
    MapJob.fetch(id_in(stderr), connection=Queue(url=url).connection).cancel()
    process.stderr.close()


@pytest.mark.parametrize(
    "command", ["map math:sqrt 1", "status", "jobs", "top", "results x", "show x", "cancel x"]
)
def test_without_a_server(tmp_path: Path, command: str) -> None:
    told = taskq(f"unix://{tmp_path}/nowhere.sock", *command.split())
    assert (told.returncode, told.stdout) == (exits.ERROR, "")
    assert "Give its URL by --url or TASKQ_URL" in told.stderr


def test_that_nobody_works_on_it_is_said_at_once(url: str) -> None:
    process = start(url, "map", "tests.jobs:square", "3", "--queue", "deserted")
    assert process.stderr is not None
    said = [process.stderr.readline() for _ in range(2)]
    assert any("no worker listens on the queue 'deserted'" in line for line in said), said
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANGS)
    assert process.returncode == exits.INTERRUPTED


def test_what_a_map_is_told(url: str) -> None:
    assert taskq(url, "map", "math:sqrt", "4", "9", "--results", "discard", "--no-progress").stdout == ""
    failed = taskq(url, "map", "math:sqrt", "4", "-9", "--results", "discard", "--job-id", "told")
    assert failed.returncode == exits.ITEMS_FAILED
    assert [line["item"] for line in lines(failed.stdout)] == [1]
    assert json.loads(taskq(url, "show", "told", "--json").stdout)["items"]["terms"] == {"results": "discard"}
    enough = taskq(url, "map", "math:sqrt", "--range", "50", "--first", "3", "--values")
    assert (enough.returncode, len(lines(enough.stdout))) == (exits.OK, 3)
    begun = taskq(
        url, "map", "tests.jobs:ask_model", "1", "2", "--initializer", "tests.jobs:load_model", "--initarg", "m",
        "--values",
    )  # fmt: skip
    assert [value[:2] for value in lines(begun.stdout)] == [["m", 1]] * 2
    assert taskq(url, "map", "math:sqrt", "1", "--initializer", "nothing").returncode == exits.USAGE
