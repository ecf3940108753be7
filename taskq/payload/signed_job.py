"""RQ's job with a signature on all of its pickles, where there is a secret key (``signing.py``).

RQ's serializers don't know of which job the bytes are that they read, nor whether these are its function and
arguments, its meta or its result; a signature must. So the job itself says it: its serializer is one for just it.

The names of the callbacks stand in plain text in the job's hash. They are a part of the place for which ``data``
is signed, and none is imported before that signature was found right.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from rq.exceptions import DeserializationError
from rq.job import Job

from taskq.errors import DamagedError
from taskq.payload import codec, imports, signing

T = TypeVar("T")

DATA, META, VALUE = "data", "meta", "return value"

_DATES = (b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat")
_STATE = frozenset({
    "status", "created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat", "worker_name",
})  # fmt: skip
"""What RQ's queues and workers write of a job as it goes on."""

_DATE_LENGTH = len("2026-01-01T00:00:00.000000Z")


def is_date(text: bytes) -> bool:
    """Whether it looks like one that RQ has written: of others RQ says what it can't read."""
    return len(text) == _DATE_LENGTH and text.endswith(b"Z")


class JobSerializer:
    """RQ's serializer interface for one kind of pickle of one job, over another serializer.

    Args:
        inner: Writes and reads the value itself.
        place: See ``codec.at``.
    """

    def __init__(self, inner: Any, *place: str) -> None:
        self.inner = inner
        self._codec = codec.at(*place)

    def dumps(self, value: Any, /) -> bytes:
        return self._codec.close(self.inner.dumps(value))

    def loads(self, data: bytes, /) -> Any:
        return self.inner.loads(self._codec.open(data))

    def check(self, data: bytes) -> None:
        """Refuse what ``loads`` would refuse, and read nothing."""
        self._codec.open(data)


class Unguarded:
    """Reads and writes pickles as RQ's default serializer does, behind a signature: see ``rq_defaults.py``."""

    instead_of: ClassVar[set[Any]] = set()

    @staticmethod
    def dumps(value: Any, /) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def loads(data: bytes, /) -> Any:
        return pickle.loads(data)


class SignedJob(Job):
    """An RQ job which signs what it writes and refuses what is not signed for it; without a key, just RQ's job."""

    _kind = VALUE  # what RQ's code, which asks for the serializer, is about to read or write
    map_class: ClassVar[Any]  # ``MapJob``, which says so itself
    put_back: ClassVar[Callable[[Any, bool], None]]  # of ``maps/requeue.py``, which says so itself

    @property
    def serializer(self) -> Any:
        """Of this job alone, so that RQ can't but read and write signed."""
        if not signing.keyring():
            return self._inner
        inner = Unguarded if self._inner in Unguarded.instead_of else self._inner
        if self._kind == DATA:
            names = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
            return JobSerializer(inner, DATA, self.id, *(name or "" for name in names))
        return JobSerializer(inner, self._kind, self.id)

    @serializer.setter
    def serializer(self, serializer: Any) -> None:
        # RQ hands a job's serializer on to its dependencies and dependents.
        self._inner = serializer.inner if isinstance(serializer, JobSerializer) else serializer

    def _as(self, kind: str, act: Callable[[], T]) -> T:
        """Do something that reads or writes this kind of pickle."""
        before, self._kind = self._kind, kind
        try:
            return act()
        finally:
            self._kind = before

    @property
    def data(self) -> bytes:
        """The pickled function and arguments."""
        return self._as(DATA, lambda: super(SignedJob, self).data)

    @data.setter
    def data(self, value: bytes) -> None:
        super(SignedJob, type(self)).data.fset(self, value)  # type: ignore[attr-defined]

    def _deserialize_data(self) -> None:
        try:
            self._as(DATA, super()._deserialize_data)
        except DeserializationError as error:
            if isinstance(error.__cause__, DamagedError):  # RQ's own has no message at all
                raise DeserializationError(f"job {self.id}: {error.__cause__}") from error.__cause__
            raise

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """As RQ's. Meta that is not signed for this job is left unread, as RQ leaves what it can't read.

        A job that turns out to be a map becomes a ``MapJob``: so it is what callbacks are given, and what
        ``fetch_dependencies()`` returns.
        """
        if type(self) in _base_of and self.map_class.is_of(raw_data):
            self._become_map().restore(raw_data)
        elif not signing.keyring():
            self._restore(raw_data)
        else:
            self._restore_signed(dict(raw_data))

    def _restore_signed(self, fields: dict[bytes, bytes]) -> None:
        meta = fields.pop(b"meta", None)
        self._restore(fields)
        if meta:
            try:
                self.meta = self._as(META, lambda: self.serializer.loads(meta))
            except Exception:  # noqa: BLE001 - as in RQ: whatever the serializer raises
                self.meta, self._unreadable_meta = {"unserialized": meta}, meta

    def _become_map(self) -> SignedJob:
        base = _base_of[type(self)]
        self.__class__ = self.map_class if base is Job else _mixed(self.map_class, base)
        self.serializer = codec.Serializer  # a map's pickles are ours, whatever those are of who depends on it
        return self

    def _restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """RQ's ``restore``; without its way of reading dates, which is a quarter of what a no-op job takes."""
        if type(self) is not SignedJob:
            super().restore(raw_data)  # a user's class gets all that there is
            return
        dates = {name: text for name in _DATES if is_date(text := raw_data.get(name, b""))}
        super().restore({name: value for name, value in raw_data.items() if name not in dates})
        for name, text in dates.items():
            setattr(self, name.decode(), datetime.fromisoformat(text.decode()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.id == other.id  # of whatever class: RQ's asks for one of ours

    __hash__ = Job.__hash__

    def requeue(self, at_front: bool = False) -> Job:
        """As RQ's; once also where only the server's reply was lost.

        Raises:
            rq.exceptions.InvalidJobOperation: If it has not failed.
        """
        if self.has_rate_limit:  # it must acquire capacity first
            return super().requeue(at_front)
        type(self).put_back(self, at_front)
        return self

    def save(self, pipeline: Any = None, include_meta: bool = True, include_result: bool = True) -> None:
        """As RQ's; but without a pipeline how far the job is stays as it stands there, if it is there.

        RQ's writes what this object knows, also "queued" over an end that was recorded since: whoever waits for
        that would wait for ever.
        """
        if pipeline is None and self.connection.exists(self.key):
            mapping: Any = self.to_save(include_meta, include_result)
            self.connection.hset(self.key, mapping=mapping)
        else:
            super().save(pipeline, include_meta, include_result)

    def to_save(self, include_meta: bool, include_result: bool) -> dict[str, Any]:
        """What ``save`` writes of a job that is there."""
        fields: dict[str, Any] = self.to_dict(include_meta=include_meta, include_result=include_result)
        return {name: value for name, value in fields.items() if name not in _STATE}

    def get_meta(self, refresh: bool = True) -> dict[str, Any]:
        return self._as(META, lambda: super(SignedJob, self).get_meta(refresh))

    def _serialize_meta(self) -> bytes:
        return self._as(META, super()._serialize_meta)

    def check(self) -> None:
        """Refuse to go on with a job whose hash was tampered with; before anything of it is run.

        Raises:
            DeserializationError: If its function and arguments, callbacks or meta are not signed for it.
        """
        if not signing.keyring():
            return
        try:
            self._as(DATA, lambda: self.serializer).check(self.data)
            if self._unreadable_meta is not None:
                self._as(META, lambda: self.serializer).check(self._unreadable_meta)
        except DamagedError as error:
            raise DeserializationError(f"job {self.id}: {error}") from error

    def _callback(self, which: str) -> Any:
        name = getattr(self, f"_{which}_callback_name")
        if name:
            self.check()
            imports.check(name)
        callback = getattr(super(), f"{which}_callback")
        if name:
            imports.check_found(name, callback)
        return callback

    @property
    def success_callback(self) -> Any:
        return self._callback("success")

    @property
    def failure_callback(self) -> Any:
        return self._callback("failure")

    @property
    def stopped_callback(self) -> Any:
        return self._callback("stopped")


def signing_class(job_class: type[Job]) -> type[Job]:
    """A job class that signs: this one if it does, else a subclass of it by the same name."""
    if issubclass(job_class, SignedJob):
        return job_class
    if job_class is Job:
        return SignedJob
    made = _mixed(SignedJob, job_class)
    _base_of[made] = job_class
    return made


def _mixed(ours: type[SignedJob], job_class: type[Job]) -> type[SignedJob]:
    """One for each pair, so that isinstance() holds between queues."""
    pair = ours, job_class
    if pair not in _classes:
        _classes[pair] = type(job_class.__name__, pair, {"__module__": job_class.__module__})
    return _classes[pair]


_classes: dict[tuple[type[SignedJob], type[Job]], type[SignedJob]] = {}
_base_of: dict[type[Job], type[Job]] = {SignedJob: Job}  # of our classes for plain jobs: what they are made of
