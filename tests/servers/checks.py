"""What is tried with each server of the table; a check that is not well raises."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from rq import RateLimit, Retry

import taskq
from taskq import Queue, ServerError
from tests import jobs
from tests.acceptance.compose import redis_conf
from tests.acceptance.worker import ROOT, Server, Worker, run
from tests.servers.looks import look
from tests.servers.programs import Program
from tests.servers.site import free_port, site
from tests.waiting import HANGS, wait_until

FORBIDDEN = ("CONFIG", "SCRIPT", "CLIENT", "INFO", "ROLE", "KEYS", "FLUSHALL", "MONITOR", "DEBUG", "SHUTDOWN")
OF_REDIS_6 = "resetchannels ~rq:* ~taskq:* &rq:* &taskq:* +@all -@admin -@dangerous +info"  # see docs/redis.md
SQUARES = [n * n for n in range(500)]


class NotThereError(Exception):
    """This build of the server can't be asked for it."""


@dataclass
class Bench:
    """One server, and where its files are; made anew for each check.

    Args:
        program: The server.
        folder: For files.
        variables: Of the environments of workers and commands.
    """

    program: Program
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def server(self, *options: str, conf: str = "") -> Iterator[Server]:
        (self.folder / "redis.conf").write_text(conf)
        made = Server(self.folder, *options, before=(str(self.folder / "redis.conf"),), program=self.program.path)
        made.start()
        try:
            yield made
        finally:
            made.kill()

    @contextmanager
    def worker(self, url: str, *options: str) -> Iterator[Worker]:
        made = Worker(url, "--processes", "2", *options, log=self.folder / "worker.log", **self.variables)
        try:
            yield made
            assert made.stop() == 0
            assert "Traceback" not in made.output
        except BaseException:
            print(made.output)
            raise
        finally:
            made.kill_tree()


def all_of_it(url: str, bench: Bench) -> None:
    """Maps, plain jobs of all kinds, result lists, the page, and commands."""
    with bench.worker(url, "--with-scheduler") as worker:
        worker.wait_until_ready()
        queue = Queue(url=url)
        assert queue.map(jobs.square, range(500)).get(timeout=HANGS) == SQUARES
        failing = queue.map(jobs.invert, [1, 0], retry=Retry(max=1))
        with pytest.raises(ZeroDivisionError):
            failing.get(timeout=HANGS)
        cancelled = queue.map(time.sleep, [0.05] * 200, chunksize=1)
        cancelled.cancel()
        with pytest.raises(taskq.MapCanceledError):
            cancelled.get(timeout=HANGS)
        results = queue.result_list("results")
        plain: list[Any] = [
            queue.enqueue(jobs.append_to, results, 1), queue.enqueue(jobs.square, 2, job_id="one", unique=True),
            queue.enqueue(jobs.square, 3, rate_limit=RateLimit("few", concurrency=1)),
            queue.enqueue_in(timedelta(0), jobs.square, 4),
        ]  # fmt: skip
        for job in plain:
            assert job.latest_result(timeout=HANGS).type.name == "SUCCESSFUL"
        assert list(results) == [1]
        look(url, bench.folder, **bench.variables)
        queue.connection.close()


def as_it_comes(bench: Bench) -> None:
    """With redis-py's own choice of the protocol: RESP3 from redis-py 8 on."""
    with bench.server() as server:
        all_of_it(server.url, bench)


def resp2(bench: Bench) -> None:
    with bench.server() as server:
        all_of_it(f"{server.url}?protocol=2", bench)


def resp3(bench: Bench) -> None:
    with bench.server() as server:
        all_of_it(f"{server.url}?protocol=3", bench)


def forbidden(bench: Bench) -> None:
    """Ten commands are not there."""
    with bench.server(conf="".join(f'rename-command {name} ""\n' for name in FORBIDDEN)) as server:
        all_of_it(server.url, bench)
        assert "does not let us use CONFIG" in (bench.folder / "worker.log").read_text()


def acl(bench: Bench) -> None:
    """The user of docker-compose.yml; Redis 6.2 can't take single subcommands away."""
    conf = redis_conf({"TASKQ_REDIS_PASSWORD": "for-the-many"})
    if bench.program.name.startswith("Redis 6"):
        conf = f"user default off\nuser taskq on >for-the-many {OF_REDIS_6}\n"
    with bench.server(conf=conf) as server:
        all_of_it(f"unix://taskq:for-the-many@{server.path}", bench)


def password(bench: Bench) -> None:
    """It comes from a function, and is another one after a while: those who are connected stay."""
    kept = bench.folder / "password"
    kept.write_text("first")
    module = f"iam_{os.urandom(4).hex()}"  # each time another: it is imported here, too
    (bench.folder / f"{module}.py").write_text(f"def token():\n    return open({str(kept)!r}).read()\n")
    with bench.server("--requirepass", "first") as server:
        url = f"{server.url}?credential_provider={module}:token"
        sys.path.append(str(bench.folder))
        bench.variables["PYTHONPATH"] = f"{ROOT}:{bench.folder}"
        try:
            with bench.worker(url) as worker:
                worker.wait_until_ready()
                queue = Queue(url=url)
                assert queue.map(jobs.square, range(500)).get(timeout=HANGS) == SQUARES
                queue.connection.config_set("requirepass", "second")
                kept.write_text("second")
                queue.connection.client_kill_filter(_type="normal", skipme=False)
                assert Queue(url=url).map(jobs.square, range(500)).get(timeout=HANGS) == SQUARES
                look(url, bench.folder, **bench.variables)
        finally:
            sys.path.remove(str(bench.folder))


def tls(bench: Bench) -> None:
    """The server wants a certificate of each client."""
    if not bench.program.speaks_tls:
        raise NotThereError
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(bench.folder / "ca.pem")
    for name in ("server", "client"):
        made = authority.issue_cert("localhost", "127.0.0.1")
        made.private_key_pem.write_to_path(bench.folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(bench.folder / f"{name}.pem")
    there = bench.folder
    options = (
        "--tls-port", str(port), "--tls-cert-file", f"{there}/server.pem", "--tls-key-file", f"{there}/server.key",
        "--tls-ca-cert-file", f"{there}/ca.pem", "--tls-auth-clients", "yes",
    )  # fmt: skip
    url = f"rediss://localhost:{port}/0?ssl_ca_certs={there}/ca.pem"
    with bench.server(*options):
        with pytest.raises((redis.ConnectionError, ssl.SSLError, ServerError)):
            len(Queue(url=url).result_list("without"))
        all_of_it(f"{url}&ssl_certfile={there}/client.pem&ssl_keyfile={there}/client.key", bench)


def prefixes(bench: Bench) -> None:
    """Nothing is written beside them."""
    bench.variables.update(RQ_KEY_PREFIX="app:rq", TASKQ_KEY_PREFIX="app:taskq")
    program = "from taskq import Queue\nprint(sum(Queue().map(abs, range(500)).get()))"
    with bench.server() as server, bench.worker(server.url):
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT,
            env={**bench.variables, "TASKQ_URL": server.url, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert ended.stdout.strip() == str(sum(range(500))), ended.stderr
        look(server.url, bench.folder, **bench.variables)
        with redis.Redis(unix_socket_path=str(server.path)) as connection:
            assert not [key for key in connection.scan_iter() if not key.startswith(b"app:")]


def full(bench: Bench) -> None:
    """Others have taken all places for clients; then there is room again."""
    with bench.server("--maxclients", "20") as server:
        others = [redis.Redis(unix_socket_path=str(server.path)) for _ in range(20)]
        for one in others:
            one.ping()
        # The server may hang up before it has been asked anything, and then its words are lost on the way.
        with pytest.raises(ServerError, match=r"max number of clients reached.*docs/redis\.md|Broken pipe"):
            Queue(url=server.url).map(jobs.square, range(500))
        with bench.worker(server.url) as worker:
            worker.wait_until_output("max number of clients reached")
            for one in others:
                one.close()
            queue = Queue(url=server.url, patience=HANGS)
            assert queue.map(jobs.square, range(500)).get(timeout=HANGS) == SQUARES
            queue.connection.close()


def fail_over(bench: Bench) -> None:
    """The primary is killed in the middle of a map."""
    with site(program=bench.program.path) as there, bench.worker(there.url) as worker:
        worker.wait_until_ready()
        queue = Queue(url=there.url, patience=HANGS)
        job = queue.map(jobs.nap, [0.02 + n / 1e6 for n in range(300)], chunksize=2)
        wait_until(lambda: job.progress.done > 30, "it is under way")
        old = there.primary
        old.kill()
        assert job.get(timeout=HANGS) == [0.02 + n / 1e6 for n in range(300)]
        assert len(job.result_list) == 300
        there.join(old)
        queue.connection.close()


def replicas(bench: Bench) -> None:
    """``--min-replicas 1``: with the only replica frozen nothing more is claimed, and all goes on after that.

    Producers that want as much are told so.
    """
    with site(2, 1, bench.program.path) as there, bench.worker(there.url, "--min-replicas", "1") as worker:
        worker.wait_until_ready()
        queue = Queue(url=there.url, min_replicas=1)
        job = queue.map(jobs.nap, [0.02] * 200, chunksize=1)
        wait_until(lambda: job.progress.done > 10, "it is under way")
        follower = next(one for one in there.servers if not one.is_primary)
        follower.signal(signal.SIGSTOP)
        worker.wait_until_output("0 of 1 replicas have what was committed")
        wait_until(lambda: job.store.connection.llen(job.store.keys.pending) > 0, "there is more to do")
        wait_until(lambda: any("takes nothing" in info.trouble for info in worker.infos), "it says so")
        with pytest.raises(ServerError, match="was pushed, but 0 of 1 replicas have it"):
            queue.enqueue(jobs.square, 1)
        follower.signal(signal.SIGCONT)
        assert len(job.get(timeout=HANGS)) == 200
        queue.connection.close()


def cluster(bench: Bench) -> None:
    """Producers and workers say why they do not work with it."""
    with bench.server("--cluster-enabled", "yes") as server:
        with redis.Redis(unix_socket_path=str(server.path)) as connection:
            connection.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            wait_until(lambda: b"cluster_state:ok" in connection.execute_command("CLUSTER", "INFO"), "it is one")
        queue = Queue(url=server.url)
        for push in (lambda: queue.map(jobs.square, [1]), lambda: queue.enqueue(jobs.square, 1)):
            with pytest.raises(ServerError, match="node of a cluster"):
                push()
        ended = run("worker", "--processes", "1", TASKQ_URL=server.url)
        assert (ended.returncode, "node of a cluster" in ended.stderr) == (1, True), ended.stderr
        queue.connection.close()


CHECKS: dict[str, Callable[[Bench], None]] = {
    "as it comes": as_it_comes, "RESP2": resp2, "RESP3": resp3, "forbidden": forbidden, "ACL": acl,
    "password": password, "TLS": tls, "prefixes": prefixes, "maxclients": full, "fail-over": fail_over,
    "replicas": replicas, "cluster": cluster,
}  # fmt: skip
