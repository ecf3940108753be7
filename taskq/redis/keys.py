"""The schema of all of taskq's keys in Redis; no other module spells one.

All keys of one map share the hash tag ``{id}``. RQ's own keys (``rq:*``) are RQ's and are not listed.

key                    type    content                                        written by        expires
---------------------  ------  ---------------------------------------------  ----------------  ----------------
taskq:{id}             hash    see ``MapField``                               producer, worker  with the job
taskq:{id}:function    string  pickled Function (see payload/function.py)     producer          with the job
taskq:{id}:bodies      hash    range -> the items of a chunk (maps/body.py);  producer, commit  with the job
                               a body goes when no item of it is left to do
taskq:{id}:blobs       hash    "sha256:n" -> the nth piece of a large object   producer          with the job
                               that travels apart (payload/large.py)
taskq:{id}:chunks      hash    what maps of schema 1 had in place of bodies   nobody            with the job
taskq:{id}:uses        hash    range -> items of its body that are left, for  worker            with the job
                               bodies that several ranges refer to
taskq:{id}:pending     list    "range deaths body" of what nobody holds; no   producer, worker  with the job
                               deaths: 0; no body: the range's own
taskq:{id}:again       list    the same, of what had failed before the map    open              with the job
                               was opened again; comes after ``pending``
taskq:{id}:later       zset    the same, of items that have failed and are      commit, claim     with the job
                               tried again -> Unix time when: item_retry
taskq:{id}:starts:{incarnation}
                       list    of a map with a rate: Unix times at which its   claim             by itself
                               last items were claimed, the newest first
taskq:{id}:claims      hash    range -> "token deaths body worker"            worker            with the job
taskq:{id}:copies      hash    the same, of ranges that run twice: their        copy              with the job
                               second claims; or the deaths of the one run
                               that is no more: speculate
taskq:{id}:since       zset    range -> Unix time when it was claimed: of a      claim             with the job
                               map that speculates
taskq:{id}:took        list    "seconds worker" of the last ranges that have    commit            with the job
                               ended, the newest first: of such a map, too
taskq:{id}:failed      list    as ``pending``: ranges of items that failed    commit            with the job
taskq:{id}:results     list    the result list: one pickled value an element  commit            with the job
taskq:{id}:spans       list    "start:count" for each run of results          commit            with the job
                       hash    of a map that keeps no results: "from first"
                               -> the item after the last, "to" that -> first,
                               of runs of items that have results; none touch
taskq:{id}:errors      hash    item index -> JSON of an ItemFailure           commit            with the job
taskq:{id}:groups      hash    kind of error -> "count, index of the first"   commit            with the job
taskq:{id}:refusals    hash    worker -> JSON of a Refusal: why it can't run   worker            with the job
                               the map; see maps/refusal.py
taskq:{id}:deaths      hash    range -> JSON of the last death of a service      recovery          with the job
                               that ran it: upkeep/evidence.py
taskq:{id}:parts       hash    of a map whose items are groups of another's    feed              with the job
                               results: "group first" -> frames of results of
                               a group that is not whole yet; group -> "how
                               many, where each run begins": see feed.lua
taskq:{id}:memo        hash    item index -> "signature key": under which its  producer, commit  with the job
                               result is to stand in the memo
taskq:{id}:events      channel "progress" at each commit                      commit            -
taskq:{id}:end         channel "end" when the map's job has ended              worker, producer  -
taskq:notes            channel what concerns all services: a map was closed,  worker, producer  -
                               has chunks for others, or might have some
taskq:memo:{name}      hash    what the memo is of; see maps/memo.py          producer          with the memo
taskq:memo:{name}:{generation}
                       hash    key -> where a result is from, and the result  commit            with the memo
taskq:memo:{name}:maps hash    digest of items -> id of the map that was       producer          with the memo
                               pushed with them last; see maps/existing.py
taskq:memos            zset    name of a memo -> Unix time it was used by a    producer, cli     no
                               push
taskq:list:{name}      list    a free-standing result list                    anybody           no
taskq:lock:{name}      string  a lock's holder, as redis-py draws it          anybody           its lease
taskq:value:{name}     string  a value, pickled                               anybody           no
taskq:dict:{name}      hash    a key, as Python writes it -> key and value,   anybody           no
                               pickled: see dictionary.py
taskq:queue:{name}     list    items that somebody has put, pickled            anybody           no
taskq:event:{name}     string  there while the event is set                   anybody           no
taskq:shared:{name}    hash    n -> the nth piece of an object that maps      producer          after ``ttl``
                               share (shared.py); the name is 128 random bits
taskq:open:{queue}     zset    map id -> Unix time at which it was opened: of   open, close       no
                               this queue; see service/jobs/guests.py
taskq:maps             zset    map id -> Unix time it was pushed; see           producer, sweep   with the maps
                               workers/taskq_workers/service/upkeep/sweep.py
taskq:fetched:{worker}:{queue}
                       list    ids on their way from the queue to the worker  fetcher           -
                               (empty but for an instant): see
                               workers/taskq_workers/service/jobs/fetcher.py
taskq:held:{worker}    hash    "job id:execution id" -> "stage queue": what   service, recovery  no
                               it has taken and not ended; see holdings.py
taskq:leases           zset    worker name -> Unix time its lease ends; 0:    service           -
                               given up for dead
taskq:services         hash    worker name -> JSON of a ServiceInfo           service           -
taskq:schema           hash    the least and greatest schema in use, until      worker, producer  no
                               when that is fresh, and which one a worker
                               reserves that is just starting: see schema.py
taskq:said:{thread}    string  what was drawn for the last transaction that a     producer          10 minutes
                               producer's thread has made: see once.py; behind
                               it the item that it got, see fifo_get.lua
taskq:refused          hash    "signature", "import" -> how many jobs and     worker            no
                               chunks were refused for that
taskq:activity         hash    worker name -> JSON of an Activity             service           -
taskq:host:{host}      set     names of the services of this host, and of       service, recovery  a day
                               some that are dead: for its probes
taskq:busy             hash    job id -> pool processes that run it, until    whoever looks      a minute
                               when that is fresh: see busy.lua
taskq:fleet            hash    how many services there are, and their          service, producer   a minute
                               processes in all and of each queue, until
                               when that is fresh: see fleet.lua
taskq:called           string  there while all services need not hear again    service           < 1 s a 1,000
                               that a process is idle: see idle.lua
taskq:metrics          hash    "name|labels" -> number, see metrics.py        service           no
taskq:timeline         stream  capped; one entry for each run of a chunk:     commit, service   capped
                               ``outcome`` is "ok", "killed" or "timeout"

All of it begins with ``taskq``, or with what ``TASKQ_KEY_PREFIX`` says, as RQ's begins with ``RQ_KEY_PREFIX``:
users of a shared server may have one each. It is the same in all programs, and read once, as RQ's is.

Pickles and error records are signed where there is a secret key: see signing.py.

While a producer is still writing, a map's keys expire after ``WRITING_TTL``: a producer that dies in the
middle leaves nothing behind. "With the job" means: as long as RQ keeps the job itself.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property

from taskq.errors import OptionError

PREFIX = os.environ.get("TASKQ_KEY_PREFIX") or "taskq"
if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,200}", PREFIX):
    raise OptionError(f"TASKQ_KEY_PREFIX may hold letters, digits and _.:- only, not {PREFIX[:200]!r}")

WRITING_TTL = 3600  # seconds; renewed by each write of the producer

MAPS = f"{PREFIX}:maps"
MEMOS = f"{PREFIX}:memos"
OPEN = f"{PREFIX}:open:"  # and the name of a queue
NOTES = f"{PREFIX}:notes"
LOOK = "taskq-look"  # the note that a map was closed
WORK = "taskq-work"  # that chunks of a map are pending
IDLE = "taskq-idle"  # that a process has nothing to do, and nothing is pending
LEASES = f"{PREFIX}:leases"
SERVICES = f"{PREFIX}:services"
SCHEMA = f"{PREFIX}:schema"
RECEIPT = f"{PREFIX}:said:"  # and a name that a thread has drawn
REFUSED = f"{PREFIX}:refused"
ACTIVITY = f"{PREFIX}:activity"
BUSY = f"{PREFIX}:busy"
FLEET = f"{PREFIX}:fleet"
HOST = f"{PREFIX}:host:"  # and the name of a host
CALLED = f"{PREFIX}:called"
METRICS = f"{PREFIX}:metrics"
TIMELINE = f"{PREFIX}:timeline"
TIMELINE_LENGTH = 10_000  # entries kept, roughly

JOB_TRACE = "taskq_trace"
"""Field of RQ's job hash of a plain job: context of the producer's span, if there is one."""

JOB_DEATHS = "taskq_deaths"
"""Field of RQ's job hash of a plain job, or a map by its callback, during which workers died: "deaths enqueued_at
cause"; see suspect.py."""

JOB_RAN = "taskq_ran"
"""Field beside it: for how many seconds it had run when the last of them died."""

JOB_KIND = "taskq"
"""Field of RQ's job hash which says what kind of job of ours it is: see ``kinds.kind_of``."""


UNSEALED = 2**53 - 1
"""What an open map says as its total until it is sealed: more than any can have (``ranges.COUNTABLE``), so that
nothing takes it for complete."""


class MapField:
    """Fields of the hash ``taskq:{id}``."""

    INCARNATION = "incarnation"  # of this life of the id, from push to replacement: random, no other has it
    STATE = "state"  # "writing" -> "open" <-> "closed": workers may claim chunks only while it is open
    SEAL = "seal"  # with a secret key: signature over what the producer has announced
    TERMS = "terms"  # JSON of what else it was told: see maps/terms.py; absent: nothing
    PUSHED_CAPS = "pushed_caps"  # with a secret key: what max_running and rate were, before they were changed
    CAPS_SEAL = "caps_seal"  # with a secret key: signature over max_running and rate, since they were changed
    PUT_SEAL = "put_seal"  # of an open map, with a secret key: signature over how many items its producer has put
    RAN = "ran"  # of a map that keeps no results, with a secret key: the sum of what has run, see payload/tally.py
    FEEDER = "feeder"  # of an open map: who may add items, a name that its producer has drawn
    LEASE = "lease"  # of an open map: until when its producer lives, Unix time
    WRITER = "writer"  # of a map that is being written: until when its producer lives, Unix time; absent: unknown
    ORPHANED = "orphaned"  # "1" if an open map was sealed because its producer's lease was over
    STAR = "star"  # "1" if each item is a tuple of arguments
    NAME = "name"  # what to call the function in a text
    TOTAL = "total"  # number of items; of an open map, until it is sealed: more than there can be
    NEXT = "next"  # items written so far
    DONE = "done"  # items with a result: the length of the result list
    FAILED = "failed"  # items with an error record
    FIRST = "first"  # the lowest index of them
    ENOUGH = "enough"  # "1": it has as many results as it wants, and nothing more of it is claimed or stored
    LIMIT = "limit"  # bytes a result may have
    ITEM_TIMEOUT = "item_timeout"  # seconds an item may run; absent: no limit
    ADAPT = "adapt"  # "1" if chunks may be cut smaller while they run: the user has not said how large they are
    WEIGHT = "weight"  # its share of its queue's time, beside those of other maps; absent: 1
    OWNER = "owner"  # name of the worker that runs the RQ job
    QUEUE = "queue"  # in whose register of open maps it is
    OPENED = "opened"  # as what the owner holds the job, "job id:execution id": it opens the map once
    STARTED = "started"  # Unix time at which the first owner opened it
    ENDED = "ended"  # Unix time at which it was closed
    TRACE = "trace"  # context of the producer's span, if there is one: see tracing.py
    SPAN = "span"  # of the job's span
    REASON = "reason"  # why it was closed early, or failed though no item has, for people
    REFUSED = "refused"  # the last of the refusals, for people
    PAUSED = "paused"  # "1": nothing of it is claimed; absent: it goes on
    MEMO_HITS = "memo_hits"  # items whose results were in the memo when it was pushed; absent: none
    MAX_RUNNING = "max_running"  # how many ranges may be claimed at once; absent: any number. See maps/caps.py
    RATE = "rate"  # how many items may be claimed within some time: "300/m"; absent: any number
    RETRIES = "retries"  # "1" if items may be in ``later``
    SPECULATE = "speculate"  # "1" if ranges may run a second time beside the first: see lua/stragglers.lua
    COPIED = "copied"  # how many did; absent: none
    SOURCE = "source"  # of a map whose items are another's results: "id incarnation"; see maps/source.py
    TOGETHER = "together"  # of such a map: how many results are one item, if that is not one
    SOURCE_TOTAL = "source_total"  # of such a map, with a secret key: signature over its source's number of items
    CHUNK = "chunk"  # of such a map: how many items a chunk has, if its user has said so
    TAKEN = "taken"  # of such a map: "span offset results", where feed.lua goes on among these of its source
    OVER = "over"  # of such a map: "ended" or "gone": no more is taken of its source; absent: more may come
    PASSED = "passed"  # of such a map: items with an error record since their source has none for them
    FOLLOWERS = "followers"  # of a map: "id incarnation,..." of the maps whose items are its results
    UNTIL = "until"  # of a map: Unix time at which its keys were to expire, if followers need them for longer
    KILL = "kill"  # "1" if what still runs of a cancelled map is to be killed


@dataclass(frozen=True)
class MapKeys:
    """The keys of the map with this job id; of one incarnation of it, where that is known.

    Each is made once: a chunk's commit needs sixteen of them.
    """

    id: str
    incarnation: str = ""

    @cached_property
    def hash(self) -> str:
        return f"{PREFIX}:{{{self.id}}}"

    @cached_property
    def function(self) -> str:
        return f"{self.hash}:function"

    @cached_property
    def bodies(self) -> str:
        return f"{self.hash}:bodies"

    @cached_property
    def uses(self) -> str:
        return f"{self.hash}:uses"

    @cached_property
    def pending(self) -> str:
        return f"{self.hash}:pending"

    @cached_property
    def again(self) -> str:
        return f"{self.hash}:again"

    @cached_property
    def later(self) -> str:
        return f"{self.hash}:later"

    @cached_property
    def starts(self) -> str:
        """Of this incarnation alone, which is known then; it expires by itself, and is none of ``all``."""
        return f"{self.hash}:starts:{self.incarnation}"

    @cached_property
    def failed(self) -> str:
        return f"{self.hash}:failed"

    @cached_property
    def claims(self) -> str:
        return f"{self.hash}:claims"

    @cached_property
    def copies(self) -> str:
        return f"{self.hash}:copies"

    @cached_property
    def since(self) -> str:
        return f"{self.hash}:since"

    @cached_property
    def took(self) -> str:
        return f"{self.hash}:took"

    @cached_property
    def results(self) -> str:
        return f"{self.hash}:results"

    @cached_property
    def spans(self) -> str:
        return f"{self.hash}:spans"

    @cached_property
    def errors(self) -> str:
        return f"{self.hash}:errors"

    @cached_property
    def groups(self) -> str:
        return f"{self.hash}:groups"

    @cached_property
    def refusals(self) -> str:
        return f"{self.hash}:refusals"

    @cached_property
    def deaths(self) -> str:
        return f"{self.hash}:deaths"

    @cached_property
    def parts(self) -> str:
        return f"{self.hash}:parts"

    @cached_property
    def memo(self) -> str:
        return f"{self.hash}:memo"

    @cached_property
    def events(self) -> str:
        return f"{self.hash}:events"

    @cached_property
    def end(self) -> str:
        return f"{self.hash}:end"

    @cached_property
    def blobs(self) -> str:
        return f"{self.hash}:blobs"

    @cached_property
    def chunks(self) -> str:
        return f"{self.hash}:chunks"

    @cached_property
    def all(self) -> tuple[str, ...]:
        """Every key that holds data, in the order above."""
        return (
            self.hash, self.function, self.bodies, self.uses, self.pending, self.again, self.claims, self.failed,
            self.results, self.spans, self.errors, self.groups, self.refusals,
            self.deaths, self.memo, self.blobs, self.later, self.copies, self.since, self.took, self.parts,
        )  # fmt: skip


def note(word: str, map_id: str) -> str:
    """A message on ``NOTES``: ``LOOK``, ``WORK`` or ``IDLE``, about a map."""
    return json.dumps({"command": word, "map": map_id})


def piece(digest: str, number: int) -> str:
    """The field of a piece of a large object, among those of its map."""
    return f"{digest}:{number}"


def fetched(worker: str, queue: str) -> str:
    """The key of the list through which jobs go from this queue to this worker."""
    return f"{PREFIX}:fetched:{worker}:{queue}"


def held(worker: str) -> str:
    """The key of the index of what this worker holds."""
    return f"{PREFIX}:held:{worker}"


def memo(name: str) -> str:
    """The key of the memo with this name."""
    return f"{PREFIX}:memo:{{{name}}}"


def memo_entries(name: str, generation: str) -> str:
    """The key of what one generation of a memo holds."""
    return f"{memo(name)}:{generation}"


def shared(name: str) -> str:
    """The key of an object that maps share."""
    return f"{PREFIX}:shared:{{{name}}}"


def memo_maps(name: str) -> str:
    """The key of which maps were pushed with a memo."""
    return f"{memo(name)}:maps"


NAMED = ("list", "lock", "value", "dict", "queue", "event")
"""Kinds of what programs share by its name."""


def named(kind: str, name: str) -> str:
    """The key of one of these kinds, with this name."""
    return f"{PREFIX}:{kind}:{{{name}}}"
