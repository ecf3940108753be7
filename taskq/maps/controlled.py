"""What is done to a map by who holds its job: it is paused, cancelled, deleted, or run again."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NoReturn

import rq
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus
from rq.results import Result

from taskq.errors import DamagedError, MapError, OptionError, ResultsGoneError, VersionError
from taskq.maps import caps, own_end, picking
from taskq.maps.reader import replaced
from taskq.maps.requeue import put_back, put_back_parts
from taskq.maps.store import MapStore
from taskq.payload.signed_job import SignedJob
from taskq.redis import clients, keys, kinds, once, services
from taskq.redis.patience import clear_errors
from taskq.redis.schema import SCHEMA

STATUS = (*kinds.FIELDS, "status")
"""Fields of a job's hash that tell how the map is, if it is this one."""

ENDED = frozenset({JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED})


class Kept(Enum):
    """What ``limit`` takes for a value that is not given."""

    KEPT = "kept"


class Controlled(SignedJob):
    """A map's RQ job; what is meant for one map is never done to another that has got its id."""

    @property
    def store(self) -> MapStore:
        """The map's keys.

        Raises:
            OptionError: If the job's connection is one that can't be used: see ``redis/clients.py``.
        """
        if not hasattr(self, "_store"):
            clients.check(self.connection)  # it may have been fetched by RQ's means
            self._store = MapStore(self.id, self.connection, incarnation=self.incarnation)
        return self._store

    incarnation = ""
    """Of the map which this object means, from its push to its replacement; "" for one that is made in tests."""

    def cancel(
        self,
        pipeline: Any = None,
        enqueue_dependents: bool = False,
        remove_from_dependencies: bool = False,
        *,
        kill: bool = False,
    ) -> dict[str, list[str]]:
        """Cancel the map: no further item is started and nothing more is stored.

        Args:
            pipeline: RQ's.
            enqueue_dependents: RQ's.
            remove_from_dependencies: RQ's.
            kill: Kill the processes that run items of it at the moment, also if it was cancelled before. Otherwise
                these items run to their end, for nothing.

        Returns:
            What RQ's ``Job.cancel`` does. Results so far stay for a day. The workers let go of the map at once;
            they can't be waited for.

        Raises:
            rq.exceptions.InvalidJobOperation: If it was cancelled before, and not ``kill``.
            ReplacedError: If its id was pushed again; the new map goes on.
        """
        try:
            answer = self._cancel(pipeline, enqueue_dependents, remove_from_dependencies)
        except InvalidJobOperation:
            # By a tool that knows nothing of our keys, or by a call that lost its connection right here.
            if not (self.is_canceled and (kill or self.connection.ttl(self.store.keys.hash) == -1)):
                raise
            self.store.cancel(kill=kill)
            if not kill:
                raise
            return {}
        self.store.cancel(kill=kill)
        return answer

    def _cancel(
        self, pipeline: Any, enqueue_dependents: bool, remove_from_dependencies: bool
    ) -> dict[str, list[str]]:
        moved: dict[str, list[str]] = {}

        def act(pipe: Any) -> None:
            nonlocal moved
            waiting = enqueue_dependents and bool(pipe.smembers(self.dependents_key))
            if not waiting:
                pipe.multi()  # else RQ reads through the pipe, too, and says itself from where on it writes
            moved = super(Controlled, self).cancel(pipe, waiting, remove_from_dependencies)

        if pipeline is not None:
            self._check_meant(self.connection)
            return super().cancel(pipeline, enqueue_dependents, remove_from_dependencies)
        self._meant(act, self.dependents_key)
        if moved:
            # As what they are: RQ's own would take them for maps, as this is one, and write them back as such.
            queue = rq.Queue(self.origin, self.connection, job_class=SignedJob, serializer=self.serializer)
            queue.enqueue_ready_jobs_by_queue(moved)
        return moved

    def delete(
        self, pipeline: Any = None, remove_from_queue: bool = True, delete_dependents: bool = False
    ) -> None:
        """Delete the job, its results and all that belongs to it.

        Raises:
            ReplacedError: If its id was pushed again; the new map stays.
        """
        if pipeline is None:
            self._delete(remove_from_queue, delete_dependents)
        else:
            self._check_meant(self.connection)
            super().delete(pipeline, remove_from_queue, delete_dependents)
        self.store.tell_end(delete=True, alone=True)

    def make_way(self) -> None:
        """Delete it for another map of its id; what waits for a job of that id waits on, as where RQ replaces one.

        It raises what ``delete`` raises.
        """
        self._delete(keep_waiting=True)
        self.store.tell_end(delete=True, alone=True)

    def _delete(
        self, remove_from_queue: bool = True, delete_dependents: bool = False, *, keep_waiting: bool = False
    ) -> None:
        """At once: RQ takes it off its queue first, and who died then would leave a job that waits nowhere."""

        def act(pipe: Any) -> None:
            waiting = pipe.smembers(self.dependents_key) if keep_waiting else ()
            pipe.multi()
            super(Controlled, self).delete(pipe, remove_from_queue, delete_dependents)
            if waiting:
                pipe.sadd(self.dependents_key, *waiting)

        self._meant(act, self.dependents_key)

    def requeue(self, at_front: bool = False) -> Job:
        """As RQ's: have what has failed, or was not tried, run again; of a fold also in the maps behind it.

        Raises:
            rq.exceptions.InvalidJobOperation: If it has not failed.
            ReplacedError: If its id was pushed again.
        """
        kept = self.store.keys.all
        if self.status_now() in (JobStatus.FAILED, JobStatus.STOPPED):
            put_back_parts(self, at_front=at_front)
        self._meant(lambda pipe: put_back(self, pipe, at_front=at_front, kept=kept), self.failed_job_registry.key)
        return self

    @clear_errors
    def pause(self) -> None:
        """Have nothing more of the map start, until ``resume``; the items that run end. Its time limits go on.

        Raises:
            ResultsGoneError, ReplacedError: As ``get``.
            MapError: If it has ended.
            ServerError: If the server can't be reached, or refuses.
        """
        if self.ready():
            self.store.info()  # raises, if it is gone
            raise MapError(f"the map {self.id} has ended, and can't be paused")
        self._pause(paused=True)

    @clear_errors
    def resume(self) -> None:
        """Have a map go on that was paused; of any other, it does nothing.

        Raises:
            ResultsGoneError, ReplacedError: As ``get``.
            ServerError: If the server can't be reached, or refuses.
        """
        self._pause(paused=False)

    def _pause(self, *, paused: bool) -> None:
        if not self.store.pause(paused=paused):
            self._explain()

    def _explain(self) -> NoReturn:
        """Say why there is no such map."""
        info = self.store.info()  # raises, if it is gone
        raise self._lost() if not info.announced else DamagedError(f"{self.store.keys.hash} was changed")

    @clear_errors
    def limit(self, *, max_running: int | Kept | None = Kept.KEPT, rate: str | Kept | None = Kept.KEPT) -> None:
        """Change how much of the map may run, over all services; what is not named stays as it is.

        Args:
            max_running: Items that may run at once, from 1 on; None: as many as there are processes.
            rate: Items that may begin within any second, minute or hour, such as ``"5/s"``, ``"300/m"``,
                ``"1000/h"``; None: any number.

        It holds at once for what begins from now on. What runs already, and would be too much, ends the item that
        it is at; a worker hears of it in a moment, and after a second at most. A new rate counts what has begun
        before as far as the earlier one did.

        Raises:
            OptionError: If one is none of these.
            MapError: If the map has ended.
            VersionError: If workers of an earlier version of taskq serve its queue: they would not keep to it.
            SignatureError: If the map is signed with a secret key, and there is none here, or another.
            ResultsGoneError, ReplacedError: As ``get``.
            ServerError: If the server can't be reached, or refuses.
        """
        most = None if max_running is Kept.KEPT else caps.check_max_running(max_running)
        often = None if rate is Kept.KEPT else caps.check_rate(rate)
        if self.ready():
            self.store.info()  # raises, if it is gone
            raise MapError(f"the map {self.id} has ended, and can't be limited")
        if old := [one.name for one in services.live(self.connection, self.origin) if one.schema < SCHEMA]:
            raise VersionError(
                f"the map {self.id} can't be limited while {old[0]} is alive: its version of taskq does not know "
                "of that. Stop it, or replace it; see docs/operations.md, Upgrading"
            )
        if not self.store.limit(most, often):
            self._explain()

    @clear_errors
    def cancel_item(self, index: int) -> bool:
        """Cancel one item that has not begun: it fails with ``ItemCanceledError``, and its map with it.

        Costs some round trips, and more of them where very many chunks are pending.

        Args:
            index: The item's, from 0 on.

        Returns:
            Whether that was done; False: a worker has it, or has had it, or the map has ended. An item of a chunk
            that a worker holds counts as begun. A retry of the map runs it.

        Raises:
            OptionError: If the map has no such item.
            ResultsGoneError, ReplacedError: As ``get``.
            ServerError: If the server can't be reached, or refuses.
        """
        info = self.store.info()
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < info.items:
            raise OptionError(f"the map {self.id} has {info.items} items, from 0 on, and no item {index!r}")
        return info.state == "open" and picking.cancel_item(self.store, index)

    @clear_errors
    def ready(self) -> bool:
        """Whether the map has ended: finished, failed, stopped or cancelled (not: waits for a retry).

        Raises:
            ReplacedError: If its id was pushed again.
        """
        status = self.status_now()
        return status is None or status in ENDED

    def status_now(self) -> JobStatus | None:
        """RQ's status of the job; None if the job is gone (which is how ``result_ttl=0`` ends).

        Raises:
            DamagedError: If it is none of RQ's.
            ReplacedError: If the id was pushed again.
            redis.exceptions.RedisError: If the server can't be reached, or refuses.
        """
        found: Any = self.connection.hmget(self.key, STATUS)
        return self.status_of(found)

    def status_of(self, found: list[bytes | None]) -> JobStatus | None:
        """What the fields ``STATUS`` of the job's hash say; raises as ``status_now``."""
        self._check_seen(found)
        return self.status_there(found[-1])

    def status_there(self, status: Any) -> JobStatus | None:
        """What this field of the hash says, whosever it is; raises as ``status_now``."""
        try:
            return own_end.seen(self, JobStatus(status.decode())) if status else None
        except ValueError as error:
            raise DamagedError(f"the status of the job {self.id} is {status!r:.80}") from error

    def return_value(self, refresh: bool = False) -> Any:
        """As RQ's. It raises ``ReplacedError`` if the id was pushed again."""
        value = super().return_value(refresh)
        self._check_meant(self.connection)
        return value

    def latest_result(self, timeout: int = 0) -> Result | None:
        """As RQ's; raises as ``return_value``."""
        found = super().latest_result(timeout)
        self._check_meant(self.connection)
        return found

    def results(self) -> list[Result]:
        """As RQ's; raises as ``return_value``."""
        found = super().results()
        self._check_meant(self.connection)
        return found

    def save(self, pipeline: Any = None, include_meta: bool = True, include_result: bool = True) -> None:
        """As RQ's; without a pipeline as ``SignedJob``'s, and it raises as ``return_value``.

        Raises:
            ResultsGoneError: If the job is no longer in Redis.
        """
        if pipeline is None:
            mapping = self.to_save(include_meta, include_result)
            del mapping[keys.JOB_KIND]
            self._write(lambda pipe: pipe.hset(self.key, mapping=mapping))
        else:
            super().save(pipeline, include_meta, include_result)

    def save_meta(self) -> None:
        """As RQ's; raises as ``save``."""
        meta = self._serialize_meta()
        self._write(lambda pipe: pipe.hset(self.key, "meta", meta))

    def set_status(self, status: JobStatus, pipeline: Any = None) -> None:
        """As RQ's; raises as ``save``."""
        if pipeline is None:
            self._write(lambda pipe: super(Controlled, self).set_status(status, pipe))
        else:
            super().set_status(status, pipeline)

    def _write(self, act: Callable[[Any], Any]) -> None:
        """As ``_meant``, for what reads nothing."""

        def write(pipe: Any) -> None:
            if not pipe.exists(self.key):
                raise self._gone()
            pipe.multi()
            act(pipe)

        self._meant(write)

    def _fetch_status(self) -> JobStatus:
        """RQ's, behind ``get_status``, ``is_finished`` and so on; raises as ``return_value``."""
        status: JobStatus = super()._fetch_status()
        self._check_meant(self.connection)
        return status

    def _gone(self) -> ResultsGoneError:
        return ResultsGoneError(
            f"the job {self.id} is no longer in Redis: it expired (result_ttl), or was deleted"
        )

    def _lost(self) -> ResultsGoneError:
        return ResultsGoneError(
            f"the map {self.id} is lost: the server came back as it was before the push was over. Push it again"
        )

    def _meant(self, act: Callable[[Any], None], *others: str) -> None:
        """Do something to RQ's job with this id, at once and only if it is this map's.

        Args:
            act: Is given a pipeline on which it may read until it calls ``multi()``, and then writes. It is called
                again if what it has read was changed meanwhile.
            others: Keys that it reads, besides the job's own.

        Raises:
            ReplacedError: If another map has got the id.
        """

        def meant(pipe: Any) -> None:
            self._check_meant(pipe)
            act(pipe)

        try:
            once.transaction(self.connection, meant, self.key, *others)
        except InvalidJobOperation:
            self._check_meant(self.connection)  # it may be said of what has taken its place
            raise

    def _check_meant(self, connection: Any) -> None:
        """See that RQ's job with this id is this map's, and not one that was pushed later.

        Raises:
            ReplacedError: If not.
        """
        self._check_seen(connection.hmget(self.key, kinds.FIELDS))

    def _check_seen(self, found: list[bytes | None]) -> None:
        seen = found[: len(kinds.FIELDS)]
        if any(found) and self.incarnation and kinds.read(seen).incarnation != self.incarnation:
            raise replaced(self.id)
