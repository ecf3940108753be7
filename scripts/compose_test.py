"""Tests docker-compose.yml on a Docker engine: ``make compose-test``.

It starts a project of its own, on a free port, with a password and a folder of code of its own, and removes all
of it at the end; a ``docker compose up`` that runs beside it is not touched. Takes about a minute.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "taskq-compose-test"
FILES = "-f docker-compose.yml -f deploy/compose/secret-key.yml"
COMPOSE = f"docker compose -p {PROJECT} {FILES} --env-file {os.devnull}".split()
ITEMS = 600
ADMIN = secrets.token_hex()  # password of the user who may do everything
GRACE, STUCK = 30, 300  # seconds: TASKQ_GRACE in docker-compose.yml; after which no command comes back

MODULE = """
import time
def square(n):
    time.sleep(0.05)
    return n * n
"""
TWO_WORKERS = """
import rq, time
while len(rq.Worker.all(queue=q)) != 2: time.sleep(0.1)

"""
SMALL_MAPS = """
from squares import square
offset = 100
def shifted(n):
    return n + offset

maps = [q.map(function, range(3)) for function in (square, shifted, lambda n: -n)]
answer = [job.get(timeout=30) for job in maps]
"""
PUSH = f"""
from squares import square
job = q.map(square, range({ITEMS}), chunksize=5, job_id="JOB")
while len(job.result_list) < {ITEMS // 4}: time.sleep(0.05)

job.refresh()
answer = job.worker_name
"""
COLLECT = """
job = q.fetch_job("JOB")
results = job.get(timeout=120)
job.refresh()
answer = [results, sorted(job.result_list), job.ended_at.timestamp()]
"""

SHARED_MAP = """
import time
q.map(time.sleep, [0.05] * 200, chunksize=1).get(timeout=60)
entries = q.connection.xrange("taskq:timeline")
answer = sorted({fields[b"worker"].decode() for _, fields in entries[-200:]})
"""


class CheckError(Exception):
    """A command or a check did not end well."""


def check(is_so: object, otherwise: str) -> None:
    if not is_so:
        raise CheckError(otherwise)


@contextmanager
def step(what: str) -> Iterator[None]:
    print(f"{what:.<60} ", end="", flush=True)
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:5.1f} s", flush=True)


def run(*command: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """What the command writes to stdout."""
    done = subprocess.run(
        command, input=stdin, env=env, cwd=ROOT, capture_output=True, text=True, timeout=STUCK, check=False
    )
    check(done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Project:
    """The services of docker-compose.yml under another name."""

    def __init__(self, code: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            port, self.page_port = one.getsockname()[1], other.getsockname()[1]
        self._env = {k: v for k, v in os.environ.items() if not k.startswith(("COMPOSE_", "TASKQ_"))}
        self._env |= {"TASKQ_CODE": str(code), "TASKQ_LEASE": "5", "TASKQ_PROCESSES": "2"}
        self._env |= {"TASKQ_REDIS_PASSWORD": secrets.token_hex(), "TASKQ_REDIS_PORT": str(port)}
        self._env |= {"TASKQ_DASHBOARD_PORT": str(self.page_port)}
        key = code.with_name("secret-key")
        key.write_text(secrets.token_hex(), encoding="ascii")
        key.chmod(0o644)  # for the user in the containers
        self._env |= {"TASKQ_REDIS_ADMIN": ADMIN, "TASKQ_SECRET_KEY_FILE": str(key)}

    def compose(self, *arguments: str, stdin: str = "") -> str:
        return run(*COMPOSE, *arguments, stdin=stdin, env=self._env)

    def shell(self, program: str) -> Any:
        """Have the shell run a program from its stdin; returns what that left in ``answer``."""
        end = "\nimport json; print('answer:', json.dumps(answer))\n"
        output = self.compose("run", "--rm", "-T", "shell", stdin=program + end)
        _, found, answer = output.rpartition("answer: ")
        check(found, f"the shell gave no answer to\n{program}\nbut\n{output}")
        return json.loads(answer.splitlines()[0])

    def inspect(self, service: str, what: str) -> list[Any]:
        """One property of each container of a service."""
        ids = self.compose("ps", "--all", "--quiet", service).split()
        return list(map(json.loads, run("docker", "inspect", "-f", f"{{{{json {what}}}}}", *ids).splitlines()))


def test_setup(project: Project) -> None:
    """Who runs as whom, how Redis is set up, and what is open to whom."""
    in_redis = ("exec", "-T", "redis")
    get = ("CONFIG", "GET", "appendonly", "maxmemory-policy")
    admin = ("env", f"REDISCLI_AUTH={ADMIN}", "redis-cli", "--user", "admin")
    settings = project.compose(*in_redis, *admin, *get).split()
    check({"yes", "noeviction"} < set(settings), f"Redis has the settings {settings}")
    stranger = project.compose(*in_redis, "env", "-u", "REDISCLI_AUTH", "redis-cli", "ping")
    check("NOAUTH" in stranger, f"without a password Redis answers {stranger}")
    ordinary = project.compose(*in_redis, "redis-cli", "--user", "taskq", *get)
    check("NOPERM" in ordinary, f"the user of the workers may ask for Redis's settings: {ordinary}")
    (ports,) = project.inspect("redis", ".NetworkSettings.Ports")
    check({one["HostIp"] for one in ports["6379/tcp"]} == {"127.0.0.1"}, f"Redis is published on {ports}")
    (ports,) = project.inspect("dashboard", ".NetworkSettings.Ports")
    check({one["HostIp"] for one in ports["8700/tcp"]} == {"127.0.0.1"}, f"the page is published on {ports}")
    with urllib.request.urlopen(f"http://127.0.0.1:{project.page_port}/", timeout=10) as page:
        check(b"<title>taskq</title>" in page.read(), "the page does not show itself")
    check(not any(project.inspect("worker", ".NetworkSettings.Ports")), "a worker publishes ports")
    user, first = project.compose("exec", "-T", "worker", "sh", "-c", "id -un; cat /proc/1/comm").split()
    check(user == "taskq", f"the worker is {user}")
    check(first in {"docker-init", "tini", "catatonit"}, f"process 1 is {first}, no init")


def test_confinement(project: Project) -> None:
    """What can be done from within a container by whoever has got in."""
    for service, user in (("redis", "999"), ("worker", "1000"), ("dashboard", "1000")):
        settings = project.inspect(service, ".HostConfig")[0]
        check(settings["ReadonlyRootfs"], f"{service} can write anywhere")
        check(settings["CapDrop"] == ["ALL"] and not settings["CapAdd"], f"{service} has capabilities")
        check(settings["Memory"] and settings["PidsLimit"], f"{service} has no limits")
        status = project.compose("exec", "-T", service, "sh", "-c", "id -u; cat /proc/self/status")
        check(status.startswith(user), f"{service} runs as {status.split()[0]}")
        fields = dict(line.split(":", 1) for line in status.splitlines()[1:])
        check(int(fields["CapBnd"], 16) == 0, f"{service} could get capabilities: {fields['CapBnd']}")
        check(fields["NoNewPrivs"].strip() == "1", f"{service} can become more by a setuid program")
        with contextlib.suppress(CheckError):
            project.compose("exec", "-T", service, "touch", "/etc/mine")
            raise SystemExit(f"{service} can write to /etc")
    environment = json.dumps(project.inspect("worker", ".Config.Env"))
    check("SECRET_KEY_FILE" in environment and "SECRET_KEY=" not in environment, f"the key is in {environment}")


def test_in_mid_map(project: Project, job_id: str, disturb: Callable[[Project, str], object]) -> None:
    """A map that is disturbed in its middle completes, with every result once; ``disturb`` gets its owner."""
    disturb(project, project.shell(TWO_WORKERS + PUSH.replace("JOB", job_id)))
    disturbed = time.time()
    ordered, completed, ended = project.shell(COLLECT.replace("JOB", job_id))
    check(ended > disturbed, "the map was over before it could be disturbed: use more ITEMS")
    squares = [n * n for n in range(ITEMS)]
    check(ordered == completed == squares, f"not each result once: {len(completed)} of {ITEMS} are in the list")


def restart_redis(project: Project, _: str) -> None:
    project.compose("restart", "redis")
    check(project.inspect("worker", ".RestartCount") == [0, 0], "workers died when Redis was away")


def stop_workers(project: Project, _: str) -> None:
    began = time.monotonic()
    project.compose("stop", "worker")
    check(time.monotonic() - began < GRACE, "the workers took longer than their grace to stop")
    check((codes := project.inspect("worker", ".State.ExitCode")) == [0, 0], f"stopped workers exited {codes}")
    project.compose("start", "worker")


def kill_owner(project: Project, owner: str) -> None:
    """A host is lost, and it is the one whose worker runs the map's job; its lease ends."""
    run("docker", "kill", *(name for name in project.inspect("worker", ".Config.Hostname") if name in owner))


def test_rights(project: Project) -> None:
    """What workers and producers did was all allowed: nothing was refused but what was tried here."""
    admin = ("env", f"REDISCLI_AUTH={ADMIN}", "redis-cli", "--user", "admin")
    log = project.compose("exec", "-T", "redis", *admin, "ACL", "LOG").split()
    refused = {after for before, after in itertools.pairwise(log) if before == "object"} - {"config|get"}
    check(refused <= {"ping", "AUTH"}, f"refused to workers or producers: {refused}")


def test(project: Project) -> None:
    with step("check the file, build, start, scale to two workers"):
        project.compose("--profile", "*", "config", "--quiet")
        project.compose("up", "-d", "--build", "--wait")
        project.compose("up", "-d", "--wait", "--scale", "worker=2", "--no-recreate")
    with step("users, processes, ports, Redis's settings"):
        test_setup(project)
        test_confinement(project)
    with step("from the shell: maps by name, by value; taskq status"):
        results = project.shell(TWO_WORKERS + SMALL_MAPS)
        check(results == [[0, 1, 4], [100, 101, 102], [0, -1, -2]], f"wrong results: {results}")
        status = project.compose("run", "--rm", "-T", "shell", "status")
        shown = [host in status for host in project.inspect("worker", ".Config.Hostname")]
        check(shown == [True, True], f"taskq status does not show both workers:\n{status}")
    with step("one map, shared by both workers"):
        workers = project.shell(TWO_WORKERS + SHARED_MAP)
        check(workers[1:], f"an undisturbed map was run by {workers} alone")
    with step("nothing was refused to the user of workers and producers"):
        test_rights(project)
    for disturb in (restart_redis, stop_workers, kill_owner):
        with step(f"{disturb.__name__} in mid-map"):
            test_in_mid_map(project, disturb.__name__, disturb)


def main() -> None:
    try:
        run(*COMPOSE, "version")
        run("docker", "version")
    except (CheckError, OSError) as error:
        sys.exit(f"NOT TESTED: this needs a Docker engine and docker compose.\n{error}")
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "code")
        code.mkdir()
        for seen in (Path(folder), code):
            seen.chmod(0o755)  # by the worker, which is another user
        (code / "squares.py").write_text(MODULE, encoding="utf-8")
        project = Project(code)
        try:
            test(project)
        except (CheckError, subprocess.TimeoutExpired) as error:
            sys.exit(f"\nFAILED: {error}\n{project.compose('logs', '--tail', '40')}")
        finally:
            with step("remove everything"):
                project.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
                run("docker", "image", "rm", "--force", f"{PROJECT}:local")


if __name__ == "__main__":
    main()
