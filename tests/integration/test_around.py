"""What is done around each piece of user code: the user's hooks, and an app's context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rq import Callback
from rq.job import JobStatus

from taskq import ItemError, MapFailedError, OptionError, Queue
from taskq.errors import TaskqError
from taskq.payload.function import Function
from taskq.testing import running_worker
from taskq_workers.process.check import check
from taskq_workers.rq_options import RQOptions
from taskq_workers.user_code import UserCode
from tests import hooks, jobs
from tests.waiting import HANGS, wait_until


def paths(*names: str) -> tuple[Function, ...]:
    return tuple(Function.of(f"tests.hooks.{name}") for name in names)


def options(**user: Any) -> RQOptions:
    return RQOptions(user=UserCode(**user))


def notes(queue: Queue) -> list[str]:
    return [one.decode() for one in queue.connection.lrange(hooks.NOTES, 0, -1)]


def test_hooks_are_called_around_each_piece(real_queue: Queue) -> None:
    """A failed one, too; and what belongs to a job's end is within."""
    rq = options(before_job=paths("before"), after_job=paths("after"))
    with running_worker(real_queue, 1, rq=rq):
        for function, ends in ((jobs.square, JobStatus.FINISHED), (jobs.fail_with_text, JobStatus.FAILED)):
            real_queue.connection.delete(hooks.NOTES)
            job = real_queue.enqueue(function, 3, on_success=Callback(hooks.note_inside),
                                     on_failure=Callback(hooks.note_inside))  # fmt: skip
            wait_until(lambda: job.get_status() == ends)  # noqa: B023
            assert notes(real_queue) == [f"before {job.id}", f"callback inside [] of {job.id}", f"after {job.id}"]
        real_queue.connection.delete(hooks.NOTES)
        mapped = real_queue.map(jobs.square, range(6), chunksize=2, on_success=Callback(hooks.note_inside))
        assert mapped.get(timeout=HANGS) == [0, 1, 4, 9, 16, 25]
        wait_until(lambda: mapped.get_status() == JobStatus.FINISHED)
    around = [f"before {mapped.id}", f"after {mapped.id}"]
    assert notes(real_queue) == [*around * 3, around[0], f"callback inside [] of {mapped.id}", around[1]]


def test_a_hook_may_take_nothing(real_queue: Queue) -> None:
    with running_worker(real_queue, 1, rq=options(after_job=paths("session.remove"))):
        assert real_queue.map(hooks.use_session, range(3), chunksize=1).get(timeout=HANGS) == [1, 1, 1]
        assert real_queue.enqueue(hooks.use_session, 1).latest_result(timeout=HANGS).return_value == 1
    with running_worker(real_queue, 1):
        assert real_queue.map(hooks.use_session, range(3), chunksize=1).get(timeout=HANGS) == [1, 2, 3]


def test_a_job_fails_by_a_hook_before_it_and_a_map_with_the_reason(real_queue: Queue) -> None:
    with running_worker(real_queue, 1, rq=options(before_job=paths("raises"), after_job=paths("after"))):
        job = real_queue.enqueue(jobs.square, 3)
        assert "LookupError: not" in job.latest_result(timeout=HANGS).exc_string
        assert notes(real_queue) == [f"after {job.id}"]
        mapped = real_queue.map(jobs.square, range(3))
        with pytest.raises((MapFailedError, ItemError), match=f"LookupError: 'not {mapped.id}'|not {mapped.id}"):
            mapped.get(timeout=HANGS)


@pytest.mark.parametrize("hook", ["raises", "ends_process"])
def test_what_a_hook_raises_afterwards_changes_nothing(real_queue: Queue, hook: str) -> None:
    with running_worker(real_queue, 1, rq=options(after_job=paths("after", hook))) as state:
        job = real_queue.enqueue(jobs.square, 3)
        assert job.latest_result(timeout=HANGS).return_value == 9
        assert real_queue.map(jobs.square, range(3)).get(timeout=HANGS) == [0, 1, 4]
        assert notes(real_queue)[0] == f"after {job.id}", "the other one is called all the same"
        assert not state.lanes.deaths


def test_a_hook_before_it_has_the_job_s_time(real_queue: Queue) -> None:
    with running_worker(real_queue, 1, rq=options(before_job=paths("hangs"), after_job=paths("after"))) as state:
        job = real_queue.enqueue(jobs.square, 3, job_timeout=1)
        assert "JobTimeoutException: the hook tests.hooks.hangs ran" in job.latest_result(timeout=HANGS).exc_string
        mapped = real_queue.map(jobs.square, range(3), item_timeout=0.5)
        with pytest.raises(MapFailedError, match=r"JobTimeoutException: the hook tests.hooks.hangs ran"):
            mapped.get(timeout=HANGS)
        assert notes(real_queue)[:4] == ["over", f"after {job.id}", "over", f"after {mapped.id}"]
        assert not state.lanes.deaths


def test_a_hook_afterwards_has_the_job_s_time_and_changes_nothing(real_queue: Queue) -> None:
    """Of a map an item's: the service, which sees to items, too, does not take it for the last one."""
    rq = options(after_job=paths("hangs", "hangs", "hangs"))
    with running_worker(real_queue, 1, rq=rq) as state:
        job = real_queue.enqueue(jobs.square, 3, job_timeout=1)
        assert job.latest_result(timeout=HANGS).return_value == 9
        assert notes(real_queue) == ["over"] * 3
        assert real_queue.map(jobs.square, range(3), item_timeout=0.5).get(timeout=HANGS) == [0, 1, 4]
        assert not state.lanes.deaths


@pytest.mark.parametrize("app", ["create_app", "App"])
def test_each_piece_runs_in_the_context_of_the_app(real_queue: Queue, app: str) -> None:
    with running_worker(real_queue, 1, rq=options(app=Function.of(f"tests.hooks:{app}"))):
        assert real_queue.enqueue(hooks.inside).latest_result(timeout=HANGS).return_value == ["app"]
        mapped = real_queue.map(hooks.inside, range(2), chunksize=1, on_success=Callback(hooks.note_inside))
        assert mapped.get(timeout=HANGS) == [["app"], ["app"]]
        wait_until(lambda: mapped.get_status() == JobStatus.FINISHED)
    assert notes(real_queue) == [f"callback inside ['app'] of {mapped.id}"]


def test_the_app_hears_what_user_code_raises(real_queue: Queue) -> None:
    """Of a job, each item, and each callback; else who commits in a teardown would commit half of a failed job."""
    failed = "teardown hears LookupError(\"inside ['app']\")"
    with running_worker(real_queue, 1, rq=options(app=Function.of("tests.hooks:create_app"))):
        job = real_queue.enqueue(hooks.fail_inside, on_failure=Callback(hooks.fail_inside))
        assert "inside ['app']" in job.latest_result(timeout=HANGS).exc_string
        late = real_queue.enqueue(hooks.sleep_inside, 0, job_timeout=1)
        assert "JobTimeoutException" in late.latest_result(timeout=HANGS).exc_string
        assert notes(real_queue)[:2] == [failed] * 2
        assert "hears JobTimeoutException" in notes(real_queue)[2]
        for function in (hooks.fail_inside, hooks.fail_later):
            real_queue.connection.delete(hooks.NOTES)
            mapped = real_queue.map(function, range(3), chunksize=2)
            wait_until(lambda: mapped.get_status() == JobStatus.FAILED)  # noqa: B023
            assert notes(real_queue) == [failed] * 3
        real_queue.connection.delete(hooks.NOTES)
        mapped = real_queue.map(hooks.inside, range(2), on_success=Callback(hooks.fail_inside))
        wait_until(lambda: mapped.get_status() == JobStatus.FAILED)
        assert notes(real_queue) == [failed]
        real_queue.connection.delete(hooks.NOTES)
        mapped = real_queue.map(hooks.sleep_inside, [1], item_timeout=0.2)
        wait_until(lambda: mapped.get_status() == JobStatus.FAILED)
        assert "teardown hears Expired" in notes(real_queue)[0]


def test_what_is_preloaded_is_there_when_the_rest_is_tried_out(tmp_path: Path) -> None:
    (tmp_path / "shop_settings.py").write_text("import tests.hooks\ntests.hooks.made_there = print\n")
    user = UserCode(after_job=paths("made_there"))
    check(user, [str(tmp_path)], ["shop_settings"])
    with pytest.raises(OptionError, match="made_there"):
        check(user)


def test_what_the_worker_may_not_call_is_told_at_the_start() -> None:
    for user, option in (
        (UserCode(before_job=paths("before")), "before-job"),
        (UserCode(app=paths("App")[0]), "app"),
    ):
        with pytest.raises(OptionError, match=f"^--{option}: tests.hooks.* may not be called by this worker"):
            check(user, allowed=["tests.jobs.*"])
        check(user, allowed=["tests.jobs.*", "tests.hooks.*"])


@pytest.mark.parametrize(
    ("user", "error", "says"),
    [
        (UserCode(before_job=paths("nowhere")), OptionError, "--before-job tests.hooks.nowhere: .*nowhere"),
        (UserCode(after_job=paths("after", "nowhere")), OptionError, "--after-job tests.hooks.nowhere: "),
        (UserCode(app=paths("nothing")[0]), OptionError, "^--app tests.hooks.nothing: (?!.*function)"),
        (
            UserCode(worker_class=paths("Nothing")[0]),
            OptionError,
            "^--worker-class tests.hooks.Nothing: (?!.*function)",
        ),
        (UserCode(after_job=paths("NOTES")), OptionError, "NOTES can't be called"),
        (UserCode(app=paths("create_nothing")[0]), OptionError, "create_nothing: RuntimeError: no database"),
        (UserCode(app=paths("inside")[0]), OptionError, "makes, a list, and no Flask app"),
        (UserCode(django="tests.no_settings"), OptionError, "--django tests.no_settings"),
    ],
)
def test_what_is_of_no_use_is_told_at_the_start(user: UserCode, error: type[TaskqError], says: str) -> None:
    with pytest.raises(error, match=says):
        check(user)
