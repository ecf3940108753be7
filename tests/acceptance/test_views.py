"""Help and its examples, completion, ``top`` on a terminal, ``health``, and what Prometheus scrapes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import click
import pytest

from taskq import Queue
from taskq_workers.cli import cli, exits
from taskq_workers.logs import FIELDS
from tests import jobs
from tests.acceptance.worker import ROOT, Server, Workers, environment, run
from tests.waiting import HANGS, LONG, wait_until

pytestmark = pytest.mark.acceptance

COMMANDS = sorted(cli.commands)


def examples(name: str) -> list[str]:
    """The examples in a command's help."""
    text = cli.commands[name].help or ""
    _, _, part = text.partition("Examples:")
    return [line.strip() for line in part.splitlines() if line.strip()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    command = cli.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden and parameter.name != "log_level":
            assert parameter.help, parameter.name


def test_the_examples_in_the_help_run(workers: Workers, real_queue: Queue, server_url: str, folder: Path) -> None:
    """All but those which go on until they are stopped, and shell start-up files."""
    workers.ready(processes=2)
    bin_ = folder / "bin"
    bin_.mkdir()
    script = bin_ / "taskq"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m taskq "$@"\n')
    script.chmod(0o755)
    # Of the jobs that the examples speak of: three that have ended, so that everything can be done with them.
    failed = [real_queue.map(jobs.invert, [0, 1]) for _ in range(2)]
    for job in failed:
        assert job.wait(HANGS)
    ran = 0
    for name in ("map", "attach", "status", "jobs", "show", "results", "top", "health", "completion"):
        assert examples(name), name
        for example in examples(name):
            if "~/" in example or "--services 2" in example or example.startswith("eval"):
                continue
            command = re.sub(r"\bID\b", failed[0].id, example)
            done = subprocess.run(
                [shutil.which("bash") or "sh", "-o", "pipefail", "-c", command],
                cwd=folder, text=True, capture_output=True, timeout=HANGS,
                stdin=subprocess.DEVNULL, check=False,
                env=environment(TASKQ_URL=server_url, PATH=f"{bin_}:{os.environ['PATH']}", PYTHONPATH=str(ROOT)),
            )  # fmt: skip
            expected = exits.ITEMS_FAILED if name in ("attach", "results") else exits.OK
            assert done.returncode == expected, (example, done.stderr)
            ran += 1
    assert ran > 12
    assert (folder / "roots.txt").read_text().count("\n") == 1000


def test_completion(server_url: str, real_queue: Queue) -> None:
    told = run("completion", "bash")
    assert told.returncode == exits.OK
    if bash := shutil.which("bash"):
        subprocess.run([bash, "-n"], input=told.stdout, text=True, check=True)
    job, failed = real_queue.map(jobs.square, [1]), real_queue.enqueue(jobs.invert, 0, job_id="failed")
    finished = real_queue.map(jobs.square, [], job_id="ended")
    variables = {"_TASKQ_COMPLETE": "bash_complete", "COMP_WORDS": "taskq can", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from taskq_workers.cli import cli; cli(prog_name='taskq')"]
    for words, position, found in (
        ("taskq can", "1", "plain,cancel"),
        (f"taskq cancel {job.id[:2]}", "2", f"plain,{job.id}"),
        ("taskq retry fai", "2", f"plain,{failed.id}"),
        ("taskq show end", "2", f"plain,{finished.id}"),
    ):
        variables |= {"COMP_WORDS": words, "COMP_CWORD": position}
        done = subprocess.run(
            command, env=environment(TASKQ_URL=server_url, **variables), capture_output=True, text=True,
            timeout=HANGS, check=False,
        )  # fmt: skip
        assert done.stdout.strip() == found, done.stderr


def test_top_on_a_terminal(workers: Workers, real_queue: Queue, server_url: str) -> None:
    workers.ready(processes=2)
    job = real_queue.map(jobs.nap, [LONG] * 2, chunksize=1)
    wait_until(lambda: job.progress.busy == 2)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        variables = environment(TASKQ_URL=server_url, TERM="xterm", COLUMNS="140", LINES="40")
        os.execve(sys.executable, [sys.executable, "-m", "taskq", "top", "--interval", "0.2"], variables)  # noqa: S606
    shown = ""

    def read(words: str) -> None:
        nonlocal shown
        deadline = time.monotonic() + HANGS
        while words not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 65536).decode("utf-8", "replace")

    try:
        read("2/2 cores busy")
        read("██")
        assert "\x1b[?1049h" in shown  # a screen of its own, which leaves the terminal as it was
        job.cancel(kill=True)
        read("0/2 cores busy")
        os.write(terminal, b"q")
        read("\x1b[?1049l")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == exits.OK
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=HANGS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_and_health(workers: Workers, server: Server) -> None:
    server.start()
    url, port = server.url, free_port()
    assert run("health", TASKQ_URL=url).returncode == exits.ERROR
    worker = workers.ready(2, "--metrics-port", str(port), url=url)
    queue = Queue(url=url)
    assert queue.map(jobs.square, range(10), chunksize=5).get(HANGS)
    wait_until(lambda: 'taskq_items_total{outcome="done"} 10.0' in get(port, "/metrics")[1])
    told = run("health", "--json", TASKQ_URL=url)
    assert (told.returncode, json.loads(told.stdout)) == (0, {"healthy": True, "services": 1, "problems": []})
    assert get(port, "/health")[0] == 200
    assert get(port, "/")[0] == 404
    told = run("health", "--services", "2", TASKQ_URL=url)
    assert told.returncode == exits.ERROR
    assert "1 of 2 services" in told.stdout

    # A second worker can't have the same port, and says so before it does anything.
    second = run("worker", "--metrics-port", str(port), TASKQ_URL=url)
    assert second.returncode == exits.ERROR
    assert "Give each its own --metrics-port" in second.stderr

    # The counters outlive the service, which is started again; a frozen one is found by its lease.
    [before] = worker.service_pids
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: worker.service_pids not in ([], [before]) and len(worker.infos) == 1)
    assert queue.map(jobs.square, range(10), chunksize=5).get(HANGS)
    wait_until(lambda: 'taskq_items_total{outcome="done"} 20.0' in get(port, "/metrics")[1])
    assert "taskq_services_lost_total 1.0" in get(port, "/metrics")[1]
    # So does the endpoint itself.
    [serving] = worker.titled("taskq: metrics")
    os.kill(serving, signal.SIGKILL)
    wait_until(lambda: worker.titled("taskq: metrics") not in ([], [serving]))
    assert worker.service_pids  # and nobody has taken the service for dead

    server.kill()
    wait_until(lambda: _refused_or_down(port))
    told = run("health", TASKQ_URL=url)
    assert told.returncode == exits.ERROR
    assert "no Redis at" in told.stdout


def _refused_or_down(port: int) -> bool:
    try:
        return get(port, "/metrics")[0] == 503 and get(port, "/health")[0] == 503
    except OSError:  # it is just being started again
        return False


def test_health_of_a_service_that_hangs(workers: Workers, real_queue: Queue, server_url: str) -> None:
    worker = workers.ready(1, "--lease", "1")
    [pid] = worker.service_pids
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: run("health", TASKQ_URL=server_url).returncode == exits.ERROR)
    told = run("health", TASKQ_URL=server_url)
    assert "has not renewed its lease" in told.stdout
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: run("health", TASKQ_URL=server_url).returncode == exits.OK)


def test_json_logs_of_the_worker_and_of_user_code(workers: Workers, real_queue: Queue) -> None:
    worker = workers.ready(2, "--log-format", "json")
    job = real_queue.map(jobs.log_item, range(4), chunksize=2)
    assert job.get(HANGS) == [0, 1, 2, 3]
    plain = real_queue.enqueue(jobs.log_item, 9)
    plain.latest_result(timeout=HANGS)
    worker.wait_until_output("item 9")
    records = [json.loads(line) for line in worker.output.splitlines()]
    assert all({"timestamp", "level", "message", *FIELDS} <= set(record) for record in records)
    [name] = [info.name for info in worker.infos]
    said = {record["message"]: record for record in records}
    assert [(said[f"item {n}"]["job"], said[f"item {n}"]["chunk"]) for n in range(4)] == [
        (job.id, "0:2"), (job.id, "0:2"), (job.id, "2:2"), (job.id, "2:2"),
    ]  # fmt: skip
    assert (said["item 9"]["job"], said["item 9"]["chunk"]) == (plain.id, None)
    assert {said[f"item {n}"]["worker"] for n in (0, 3, 9)} == {name}
    assert re.fullmatch(r"taskq: service 0 pool process \d", said["item 0"]["process_name"])
    ended = next(record for record in records if record["action"] == "map_ended")
    assert (ended["job"], ended["worker"], ended["thread"]) == (job.id, name, "dispatcher")
