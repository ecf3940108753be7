"""A server that is not there, not there yet, asks for a password, or goes away."""

from __future__ import annotations

import http.server
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskq import Queue, ServerError
from tests import jobs
from tests.acceptance.worker import Server, Workers, repeated, run, runs_of, title
from tests.waiting import HANGS, wait_until

pytestmark = pytest.mark.acceptance

NOWHERE = "redis://somebody:hunter2@localhost:1/0"


def test_unreachable(workers: Workers) -> None:
    worker = workers.start("--processes", "1", url=NOWHERE)
    worker.wait_until_output("no Redis at redis://somebody:***@localhost:1/0", count=2)
    assert "Next try in 0.5 s" in worker.output
    assert "hunter2" not in worker.output
    assert "Traceback" not in worker.output
    assert worker.stop() == 0
    worker.wait_until_gone()


def test_interrupt_while_unreachable(workers: Workers) -> None:
    worker = workers.start("--processes", "1", url=NOWHERE)
    worker.wait_until_output("no Redis at")
    worker.signal(signal.SIGINT)
    assert worker.process.wait(timeout=HANGS) == 0
    worker.wait_until_gone()


def test_appears_later(workers: Workers, server: Server) -> None:
    worker = workers.start("--processes", "1", url=server.url)
    worker.wait_until_output("no Redis at")
    server.start()
    worker.wait_until_ready()
    assert Queue(url=server.url).map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    assert "Traceback" not in worker.output


@pytest.mark.parametrize(
    "url", ["http://somebody:hunter2@localhost:6379", "hunter2", "redis://:hunter2@localhost:port"]
)
def test_no_url(url: str) -> None:
    ended = run("worker", "--url", url)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "is not a URL such as redis://host:6379/0" in ended.stderr
    assert url == "hunter2" or "hunter2" not in ended.stderr
    assert ended.stdout == ""


def test_password(workers: Workers, server: Server) -> None:
    server.start()
    open_for_all = Queue(url=server.url).connection
    open_for_all.config_set("requirepass", "hunter2")
    wrong = workers.start("--processes", "1", "--log-level", "debug", url=f"unix://:hunter3@{server.path}")
    assert wrong.process.wait(timeout=HANGS) == 1, "to ask again would be of no use"
    wrong.wait_until_output("Check user and password")
    assert f"unix://:***@{server.path}" in wrong.output
    assert "hunter3" not in wrong.output
    assert "Traceback" not in wrong.output

    url = f"unix://:hunter2@{server.path}"
    right = workers.start("--processes", "1", "--log-level", "debug", url=url)
    queue = Queue(url=url)
    assert queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    assert queue.enqueue(jobs.invert, 0).latest_result(timeout=HANGS) is not None
    assert "hunter2" not in right.output
    assert not any("hunter" in title(process) for process in (*wrong.processes, *right.processes))
    assert right.stop() == 0
    assert "hunter2" not in right.output


def _speaks_http() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{httpd.server_port}/0"
        httpd.shutdown()


def _final(case: str, server: Server, stack: ExitStack) -> str:
    """A URL of a server that answers, and with which nobody can work."""
    if case == "http":
        return stack.enter_context(contextmanager(_speaks_http)())
    server.start()
    if case == "no password":
        Queue(url=server.url).connection.config_set("requirepass", "hunter2")
    return f"unix://{server.path}?db=99" if case == "database" else server.url


FINAL = {
    "http": "no Redis server, but perhaps one for HTTP: check host and port.",
    "database": "DB index is out of range. It has no database of that number",
    "no password": "Authentication required. It wants a password: redis://:PASSWORD@host:6379/0",
}


@pytest.mark.parametrize("case", FINAL)
def test_a_server_that_will_always_refuse(server: Server, case: str) -> None:
    """One clear error: the worker ends, commands and producers say it, and nobody waits."""
    with ExitStack() as stack:
        url = _final(case, server, stack)
        for command in ("worker", "status"):
            ended = run(command, "--url", url)
            assert ended.returncode == 1
            assert len(ended.stderr.splitlines()) == 1, ended.stderr
            assert ended.stderr.startswith("taskq: no Redis at ")
            assert FINAL[case] in ended.stderr
        for patience in (0.0, None):
            queue = Queue(url=url, patience=patience)
            for ask in (partial(queue.map, jobs.square, [1]), partial(len, queue.result_list("x"))):
                with pytest.raises(ServerError) as caught:
                    ask()
                assert FINAL[case] in str(caught.value)
                assert caught.value.__suppress_context__
                assert ".." not in str(caught.value).replace("(...)", "")


def test_a_cluster_is_refused(folder: Path) -> None:
    """As one that serves nothing yet, and as one that serves all."""
    server = Server(folder, "--cluster-enabled", "yes")
    server.start()
    queue = Queue(url=server.url)
    pushes: list[Callable[[], object]] = [
        partial(queue.map, jobs.square, [1]), partial(queue.enqueue, jobs.square, 1),
        partial(queue.enqueue_many, [Queue.prepare_data(jobs.square, (1,))]),
    ]  # fmt: skip
    for served in (False, True):
        if served:
            queue.connection.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        for push in pushes:
            with pytest.raises(ServerError, match="It is a node of a cluster, over which the keys of a map would"):
                push()
    ended = run("worker", "--url", server.url)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1), ended.stderr
    assert "It is a node of a cluster" in ended.stderr
    queue.connection.close()
    server.kill()


def test_a_server_that_comes_later_and_refuses(workers: Workers, server: Server) -> None:
    worker = workers.start("--processes", "1", "--services", "2", url=f"unix://{server.path}?db=99")
    worker.wait_until_output("no Redis at", count=2)
    server.start()
    assert worker.process.wait(timeout=HANGS) == 1
    worker.wait_until_output("It has no database of that number")
    worker.wait_until_gone()


def test_a_url_with_which_a_worker_would_do_harm(server: Server) -> None:
    """Decoded, every key looks as if nobody could work with it: all that is shared was deleted."""
    server.start()
    ended = run("worker", "--url", f"unix://{server.path}?decode_responses=True")
    assert ended.returncode == 1
    assert "decode_responses, which can't be chosen" in ended.stderr


@pytest.mark.parametrize("command", ["status", "shell"])
def test_commands_without_a_server_say_so(command: str) -> None:
    ended = run(command, "--url", NOWHERE)
    assert ended.returncode == 1
    assert "no Redis at redis://somebody:***@localhost:1/0" in ended.stderr
    assert "hunter2" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


def test_restart_in_mid_map(workers: Workers, server: Server, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    server.start()
    worker = workers.start("--processes", "2", url=server.url).wait_until_ready()
    queue = Queue(url=server.url)
    flag = tmp_path / "flag"
    items = [(str(ledger), n, str(flag) if n > 5 else "") for n in range(24)]
    job = queue.starmap(jobs.run_until, items, chunksize=1)
    wait_until(lambda: job.progress.done == 6 and len(runs_of(ledger)) == 8)
    server.kill()
    worker.wait_until_output("Redis: ")
    flag.touch()
    wait_until(lambda: len(runs_of(ledger)) > 8, "what was claimed goes on")
    server.start()
    assert job.get(timeout=HANGS) == [n * n for n in range(24)]
    assert len(job.result_list) == 24
    assert set(runs_of(ledger)) == set(range(24))
    assert repeated(ledger) == [], "what had ended was kept in memory"
    wait_until(lambda: not queue.connection.keys("rq:execution*"))
    assert job.get_status() == "finished"
    assert "Traceback" not in worker.output
    assert worker.stop() == 0


def test_producers_that_wait_ride_out_a_restart(
    workers: Workers, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.start()
    workers.start("--processes", "2", url=server.url).wait_until_ready()
    flag = tmp_path / "flag"
    pushed = Queue(url=server.url).map(jobs.wait_for, ["", str(flag)], chunksize=1)
    wait_until(lambda: pushed.progress.done == 1)
    asks: list[Callable[[Any], Any]] = [
        lambda job: job.get(), lambda job: job.get(timeout=HANGS), lambda job: job.wait() and job.get(),
        list, lambda job: job.wait(progress="always") and job.get(),
    ]  # fmt: skip
    got: list[list[str]] = []
    producers = [
        threading.Thread(target=lambda ask=ask: got.append(ask(Queue(url=server.url).fetch_job(pushed.id))))
        for ask in asks
    ]
    for producer in producers:
        producer.start()
    listening = Queue(url=server.url).connection
    wait_until(lambda: listening.pubsub_numsub(pushed.store.keys.end)[0][1] == len(asks))
    server.kill()
    said = ""

    def all_have_said() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return said.count("can't be reached") == len(asks)

    wait_until(all_have_said)
    server.start()
    flag.touch()
    for producer in producers:
        producer.join(HANGS)
    assert got == [["", str(flag)]] * len(asks)
    assert (said + capsys.readouterr().err).count("can't be reached") == len(asks), "each said it once"


def test_silent_for_longer_than_a_lease(workers: Workers, server: Server, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    server.start()
    options = ("--processes", "1", "--lease", "5")  # seconds; they renew it in time, on the busiest machine
    both = [workers.start(*options, url=server.url).wait_until_ready() for _ in range(2)]
    queue = Queue(url=server.url)
    job = queue.starmap(jobs.run_once, [(str(ledger), n, 0.1) for n in range(20)], chunksize=1)
    wait_until(lambda: job.progress.done >= 4)
    server.freeze()
    silent = time.monotonic()
    wait_until(lambda: time.monotonic() > silent + 5.5)
    server.thaw()
    assert job.get(timeout=HANGS) == [n * n for n in range(20)]
    assert repeated(ledger) == []
    assert not any("took over" in worker.output for worker in both), "nobody was dead"


def test_restart_without_its_data(workers: Workers, server: Server) -> None:
    server.start()
    worker = workers.start("--processes", "1", "--lease", "2", url=server.url).wait_until_ready()
    server.kill()
    for file in server.path.parent.glob("appendonlydir/*"):
        file.unlink()
    server.start()
    queue = Queue(url=server.url)
    assert queue.map(jobs.square, range(10)).get(timeout=HANGS) == [n * n for n in range(10)]
    wait_until(lambda: len(worker.infos) == 1, "it has registered again")
    wait_until(lambda: queue.connection.scard("rq:workers") == 1, "with RQ, too")
    assert "Traceback" not in worker.output


def test_stopped_while_the_server_is_gone(workers: Workers, server: Server, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    server.start()
    options = ("--processes", "2", "--lease", "1", "--grace", "0.5")
    first = workers.start(*options, url=server.url).wait_until_ready()
    queue = Queue(url=server.url)
    job = queue.starmap(jobs.run_once, [(str(ledger), n, 0.05) for n in range(20)], chunksize=1)
    wait_until(lambda: job.progress.done >= 4)
    server.kill()
    first.wait_until_output("Redis: ")
    assert first.stop() == 0
    first.wait_until_gone()
    assert "Traceback" not in first.output
    server.start()
    workers.start(*options, url=server.url).wait_until_ready()
    assert job.get(timeout=HANGS) == [n * n for n in range(20)]
    assert len(job.result_list) == 20
