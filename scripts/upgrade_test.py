"""A rolling upgrade in docker-compose.yml, on a Docker engine: ``make upgrade-test ARGS='--from COMMIT'``.

Two images: of an earlier commit, and of this tree. Two workers of the first run a map; in its middle a worker
of the second joins them, and they are stopped one after the other (SIGTERM), as a rolling update does it. The map
goes on and completes, with each result once; both versions have run chunks of it; and what the earlier one has
pushed, and the later one run, its own producer reads.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from scripts import compose_test
from scripts.compose_test import CheckError, Project, check, run, step

ROOT = compose_test.ROOT
NEXT = f"{compose_test.PROJECT}:next"
ITEMS = 6000  # of 0.05 s, on four processes: long enough for a container to start, also on a busy machine
OVERLAY = """
services:
  next:
    extends:
      file: {compose}
      service: worker
    image: {image}
    depends_on: []
    environment:
      TASKQ_SECRET_KEY_FILE: /run/secrets/taskq_secret_key
    secrets: [taskq_secret_key]
"""
PUSH = f"""
from squares import square
job = q.map(square, range({ITEMS}), chunksize=2, job_id="upgrade")
while len(job.result_list) < {ITEMS // 6}: time.sleep(0.05)

answer = job.id
"""
BOTH = """
import time
from taskq.redis import services
while len(services.live(q.connection)) != 3: time.sleep(0.1)

time.sleep(2)
answer = sorted({one.build for one in services.live(q.connection)})
"""
READ = """
job = q.fetch_job("upgrade")
results = job.get(timeout=280)
entries = q.connection.xrange("taskq:timeline")
workers = sorted({fields[b"worker"].decode() for _, fields in entries if fields[b"job"] == b"upgrade"})
answer = [results, sorted(job.result_list), workers]
"""


def unpack(commit: str, folder: Path) -> None:
    """The tree of a commit."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def test(project: Project, overlay: Path, earlier: Path) -> None:
    """See the module's text."""
    with step("build both images"):
        run("docker", "build", "--quiet", "--tag", f"{compose_test.PROJECT}:local", str(earlier))
        run("docker", "build", "--quiet", "--tag", NEXT, str(ROOT))
    with step("two workers of the earlier version"):
        project.compose("up", "-d", "--wait", "--no-build", "redis")
        project.compose("up", "-d", "--wait", "--no-build", "--no-deps", "--scale", "worker=2", "worker")
        old = project.compose("ps", "--quiet", "worker").split()
        hosts = dict(zip(old, project.inspect("worker", ".Config.Hostname"), strict=True))
    with step("a map; in its middle a worker of the later version"):
        project.shell(compose_test.TWO_WORKERS + PUSH)
        project.compose("-f", str(overlay), "up", "-d", "--no-build", "--no-deps", "next")
        builds = project.shell(BOTH)
        check(len(builds[:3]) == len(old), f"these are not two versions: {builds}")
    for number, container in enumerate(old, 1):
        with step(f"stop the earlier version's worker {number}"):
            run("docker", "stop", "--time", "45", container)
            code = run("docker", "inspect", "-f", "{{.State.ExitCode}}", container).strip()
            check(code == "0", f"it exited {code}")
    with step("the map completes, and its producer's version reads it"):
        ordered, completed, workers = project.shell(READ)
        squares = [n * n for n in range(ITEMS)]
        check(ordered == completed == squares, f"not each result once: {len(completed)} of {ITEMS}")
        of_old = [name for name in workers if any(host in name for host in hosts.values())]
        check(of_old and len(workers) > len(of_old), f"not both versions have run chunks: {workers}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/upgrade_test.py", description=__doc__)
    parser.add_argument("--from", dest="commit", default="HEAD~1", help="the earlier version [HEAD~1]")
    options = parser.parse_args()
    try:
        run("docker", "version")
    except (CheckError, OSError) as error:
        sys.exit(f"NOT TESTED: this needs a Docker engine and docker compose.\n{error}")
    with tempfile.TemporaryDirectory() as folder:
        code, earlier, overlay = Path(folder, "code"), Path(folder, "earlier"), Path(folder, "next.yml")
        code.mkdir()
        for seen in (Path(folder), code):
            seen.chmod(0o755)  # by the worker, which is another user
        (code / "squares.py").write_text(compose_test.MODULE, encoding="utf-8")
        overlay.write_text(OVERLAY.format(compose=ROOT / "docker-compose.yml", image=NEXT), encoding="utf-8")
        unpack(options.commit, earlier)
        project = Project(code)
        try:
            test(project, overlay, earlier)
        except (CheckError, subprocess.TimeoutExpired) as error:
            sys.exit(f"\nFAILED: {error}\n{project.compose('logs', '--tail', '40')}")
        finally:
            with step("remove everything"):
                project.compose("-f", str(overlay), "down", "--volumes", "--remove-orphans", "--timeout", "1")
                run("docker", "image", "rm", "--force", f"{compose_test.PROJECT}:local", NEXT)


if __name__ == "__main__":
    main()
