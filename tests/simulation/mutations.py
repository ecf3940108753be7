"""Ways in which the product could be wrong, each with a seed whose world shows it, or worlds written for it.

``make simulate MUTATIONS=1`` says after how many seeds each is found; a guard that is new in the product belongs
here, with whatever fault it is there for.
"""

from __future__ import annotations

from tests.simulation import written
from tests.simulation.mutate import Change, Mutation
from tests.simulation.plan import Plan


def _m(name: str, seed: int | tuple[Plan, ...], *changes: tuple[str, str, str]) -> Mutation:
    made = tuple(Change(*change) for change in changes)
    return Mutation(name, seed, made) if isinstance(seed, int) else Mutation(name, -1, made, seed)


def by_name(name: str) -> Mutation:
    """The mutation with this name, or of which this is a part of the name.

    Raises:
        LookupError: If there is none.
    """
    for one in MUTATIONS:
        if name in one.name:
            return one
    raise LookupError(f"no mutation is called {name!r}")


_LUA = "taskq/redis/lua/"
_SERVICE = "workers/taskq_workers/service/"

_LEASE_BY_OWN_CLOCK = """\
    import time

    leases = scripts.renew._connection
    leases.zadd(keys.LEASES, {info.name: time.time() + lease})
    return Renewal(bool(alive), clock.read(now))"""

MUTATIONS = (
    # -- claims and commits ----------------------------------------------------------------------------
    _m(
        "no token check: a commit is taken from whoever has had the range", 30,
        (_LUA + "commit.lua", "not is_held(KEYS[3], KEYS[14], range, claim) then\n    return {0}\nend\nif map[4]",
         "redis.call('HEXISTS', KEYS[3], range) == 0 then\n    return {0}\nend\nif map[4]"),
    ),
    _m(
        "a commit is counted twice", 0,
        (_LUA + "commit.lua", "redis.call('HDEL', KEYS[3], range)\n\nlocal done", "local done"),
    ),
    _m(
        "errors are not checked for being in the range", 20,
        (_LUA + "commit.lua", "if not index or index <= at or index >= stop then", "if not index then"),
    ),
    _m(
        "spans are not checked for being in the range", 7,
        (_LUA + "commit.lua", "if not from or from < at or from + length > stop then", "if not from then"),
    ),
    _m(
        "results are not counted against spans", 185,
        (_LUA + "commit.lua", "if told ~= results then", "if false then"),
    ),
    _m(
        "a commit is taken for a closed map", written.CANCELLED,
        (_LUA + "commit.lua", "if map[4] ~= 'open' or map[6] then", "if false then"),
    ),
    _m(
        "a release frees what somebody else holds", 5,
        (_LUA + "release.lua", "if is_held(KEYS[3], KEYS[4], range, claim) then", "if true then"),
    ),
    _m(
        "a split is made of what is not held", 6,
        (_LUA + "split.lua", " or not is_held(KEYS[3], KEYS[5], ARGV[2], ARGV[3]) then", " then"),
    ),
    _m(
        "a claim removes before it writes", 26,
        (_LUA + "claim.lua", "        redis.call('HSET', KEYS[4], range,",
         "        redis.call('LPOP', from)\n        redis.call('HSET', KEYS[4], range,"),
        (_LUA + "claim.lua", "        redis.call('LPOP', from)\n    end\n    for", "    end\n    for"),
    ),
    # -- what runs twice -------------------------------------------------------------------------------
    _m(
        "of what ran twice the second claim outlives the first commit", 18,
        (_LUA + "commit.lua", "    redis.call('HDEL', KEYS[14], range)\n", ""),
    ),
    # -- maps of other maps' results -------------------------------------------------------------------
    _m(
        "where results are taken from is not moved", 22,
        (_LUA + "feed.lua", "'taken', place)", "'taken', '0 0 0')"),
    ),
    # -- identity --------------------------------------------------------------------------------------
    _m(  # what is claimed of another one is only not stored, as long as commits are looked at
        "no incarnation check in claims and commits", 44,
        (_LUA + "claim.lua", "if map[1] ~= ARGV[1] then", "if not map[1] then"),
        (_LUA + "commit.lua", "if map[1] ~= ARGV[1] or", "if"),
    ),
    _m(
        "no incarnation check in a close", 41,
        (_LUA + "close.lua", "if map[1] ~= ARGV[1] or map[6]", "if not map[1] or map[6]"),
    ),
    _m(
        "no incarnation check where keys get a limit", 132,
        (_LUA + "expire.lua", "if type(incarnation) == 'string' and incarnation ~= ARGV[1] then", "if false then"),
    ),
    _m(
        "no incarnation check by readers", 39,
        ("taskq/maps/reader.py", "if incarnation is None or incarnation == self.known.incarnation.encode():",
         "if True:"),
    ),
    _m(
        "a map that is not announced is closed", 7,
        (_LUA + "close.lua", " or map[6] == 'writing' or", " or"),
    ),
    # -- what comes late -------------------------------------------------------------------------------
    _m(
        "a limit that comes late is put on an open map", 92,
        (_LUA + "expire.lua", "if state == 'open' or state == 'writing' then", "if false then"),
    ),
    _m(
        "a close that comes late closes a map that was opened again", written.LATE_CLOSE,
        (_LUA + "close.lua", " or ARGV[9] == '1' and not map[7] and map[2] + map[3] < tonumber(map[4]) then",
         " then"),
    ),
    # -- pushing ---------------------------------------------------------------------------------------
    _m(
        "a gap is accepted by the producer", 223,
        (_LUA + "write.lua", "if map[2] == ARGV[3] then", "if map[2] ~= ARGV[4] then"),
    ),
    # -- proof -----------------------------------------------------------------------------------------
    _m(
        "the proof is skipped", 93,
        (_SERVICE + "jobs/map_ending.py", "info = run.proof.step()", "info = run.store.info()"),
    ),
    _m(
        "a map that is not complete any more is ended", 250,
        (_SERVICE + "jobs/map_ending.py", "    if not info.complete:\n        # Redis has died",
         "    if False:\n        # Redis has died"),
    ),
    _m(
        "get() does not see that a list came back older", 29,
        ("taskq/maps/gathering.py", "if self._known.find(1, start, start + count) >= 0:", "if False:"),
        ("taskq/maps/gathering.py", "if self.spans <= 1 or self._read_spans.stand():", "if True:"),
    ),
    _m(  # who reads on sees most of it by the last span that was read, and the proof sees the rest
        "iteration does not see that a list came back older", 29,
        ("taskq/maps/spans_read.py", "if batch[:1] != [self._last]:", "if False:"),
        ("taskq/maps/completed.py", "if not everything.is_as(self._read):", "if False:"),
    ),
    _m(
        "taskq attach does not see that a list came back older", 10122,
        ("taskq/maps/spans_read.py", "if batch[:1] != [self._last]:", "if False:"),
        ("taskq/maps/arrivals.py", "        self._spans.prove()\n", ""),
    ),
    _m(
        "a map that has changed while its end was read is taken for damaged", 10990,
        ("taskq/maps/iterated.py", "if _outcome(self.store.info()) != _outcome(then):", "if False:"),
    ),
    # -- ownership and leases --------------------------------------------------------------------------
    _m(
        "leases go by the host's clock", 57,
        ("taskq/redis/services.py", "    return Renewal(bool(alive), clock.read(now))",
         _LEASE_BY_OWN_CLOCK),
    ),
    _m(
        "a lease is not respected", 2,
        (_LUA + "lost.lua", "local ended, most = string.format('%.6f', now)", "local ended, most = '+inf'"),
        (_LUA + "depose.lua", "if not ends or tonumber(ends) > time[1] + time[2] / 1e6 then", "if not ends then"),
    ),
    _m(
        "nobody is patient after an outage", 37,
        (_SERVICE + "upkeep/membership.py", "if time.monotonic() < self._patient_until:", "if False:"),
    ),
    _m(
        "the index of what is held expires", 32,
        (_LUA + "hold.lua", "        redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[1])",
         "        redis.call('EXPIRE', KEYS[3], 5)\n        redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[1])"),
    ),
    _m(
        "an end is recorded by who does not hold the job any more", 15,
        (_SERVICE + "rq/fence.py", "if not pipe.hexists(self.index, self.entry):", "if False:"),
        (_SERVICE + "rq/fence.py",
         "if is_gone or is_another or over:", "if False:"),
        (_SERVICE + "rq/fence.py", 'if (mark or b"") != self.mark.encode():', "if False:"),
        (_SERVICE + "jobs/map_ending.py",
         "    if not (state.worker.holds(run.execution) or mirror.is_held(state, run)):", "    if False:"),
    ),
    _m(
        "a former run takes the failure of a new one for a cleaning", 3785,
        (_LUA + "mirror.lua",
         " and now[2] == ARGV[1] and not is_other(created, now[3]) and (now[4] or '') == kind then", " then"),
    ),
    _m(
        "a map is opened by what comes late", 19250,
        (_LUA + "open.lua", "or ARGV[9] ~= '' and redis.call('HEXISTS', KEYS[9], ARGV[9]) == 0 then", "then"),
        (_LUA + "open.lua", "local again = ARGV[9] ~= '' and map[4] == ARGV[9]", "local again = false"),
    ),
    _m(
        "who has had a map closed opens it again", written.OPENED_TWICE,
        (_LUA + "open.lua", "local again = ARGV[9] ~= '' and map[4] == ARGV[9]", "local again = false"),
    ),
    _m(
        "claims of which nobody knows are kept", 29,
        (_SERVICE + "reconciliation.py", "if claim.text not in known]", "if False]"),
    ),
    _m(
        "jobs of which nobody knows are kept", 177,
        (_SERVICE + "reconciliation.py", "if key not in taken and holding", "if False and holding"),
    ),
    _m(
        "stranded ids stay where they are", 195,
        (_SERVICE + "jobs/intake.py", "if now - first >= self.AFTER and", "if False and"),
    ),
    _m(
        "of two who have begun the same map both record its success", 15,
        (_SERVICE + "rq/fence.py", "over = self.mark and status in _OVER and",
         "over = self.mark and status in (b'canceled', b'stopped') and"),
    ),
    # -- deaths ----------------------------------------------------------------------------------------

    _m(
        "whatever waited in a dead process is to blame", 150,
        (_SERVICE + "jobs/casualties.py", "guilty=number in (death.task, unread))", "guilty=True)"),
    ),
    _m(
        "deaths are not counted", 6,
        (_SERVICE + "jobs/casualties.py", "    noted = settled(claim.deaths) + 1\n",
         "    noted = settled(claim.deaths)\n"),
    ),
    _m(
        "a chunk is given up with the item that is to blame", 137,
        (_SERVICE + "jobs/casualties.py", "rest = [Part(one) for one in claim.beside(index)]", "rest = []"),
    ),
    _m(
        "an item that is cut off a chunk takes all deaths of that along", 27196,
        ("taskq/maps/deaths.py", "if not alone or total(number) <= 1:", "if True:"),
    ),
    # -- messages and cleaning -------------------------------------------------------------------------
    _m(
        "a wait hangs on a message", 1,
        ("taskq/maps/waiting.py", "until = time.monotonic() + look_again", "until = time.monotonic() + 3600.0"),
    ),
    # -- memos -----------------------------------------------------------------------------------------
    _m(
        "a result is stored, and the memo is not told", 10,
        (_LUA + "commit.lua", "if memo[1] and memo[1] == KEYS[19] then", "if false then"),
    ),
    _m(
        "results of the memo are written twice, if only the reply was lost", 1090,
        (_LUA + "write_memo.lua", "if map[2] == ARGV[3] then", "if true then"),
    ),
    _m(
        "of a map of which nothing is to be run the job is kept for ever until its producer says otherwise", 25186,
        ("taskq/maps/producer.py", "        job.cleanup(ttl or WRITING_TTL, pipeline=pipe)\n", ""),
        ("taskq/maps/producer.py", "    if ttl == 0:\n        job.cleanup(ttl)\n", "    job.cleanup(ttl)\n"),
    ),
    # -- what a map was told ---------------------------------------------------------------------------
    _m(
        "runs of items that touch are kept apart where no results are kept", 179,
        (_LUA + "commit.lua", "    if behind then\n", "    if false then\n"),
    ),
    _m(
        "more results are stored than are wanted", written.ENOUGH,
        (_LUA + "commit.lua", "if enough > 0 and tonumber(map[7]) + results + counted > enough then",
         "if false then"),
    ),
    _m(
        "what has enough does not end", 59,
        ("taskq/maps/terms.py", "return 0 < self.first <= done", "return False"),
    ),
    _m(
        "an initializer is called before each chunk", 59,
        ("taskq/maps/remembered.py", "or one in self._ready:", "or False:"),
    ),
    # -- open maps -------------------------------------------------------------------------------------
    _m(
        "items that are put a second time are added a second time", 35,
        (_LUA + "put.lua", "if map[5] == ARGV[4] and #ARGV >= first_chunk then", "if #ARGV >= first_chunk then"),
    ),
    _m(
        "a map is sealed with another number of items than it has", 143,
        (_LUA + "seal.lua", " or ARGV[3] ~= '' and items ~= ARGV[3]", ""),
    ),
    _m(
        "a map that is sealed loses its lease before it hears how many items it has", written.SEALED,
        (_LUA + "seal.lua", "if ARGV[3] ~= '' then\n    redis.call('HSET', KEYS[1], 'total'",
         "redis.call('HDEL', KEYS[1], 'lease')\nif ARGV[3] ~= '' then\n    redis.call('HSET', KEYS[1], 'total'"),
    ),
    _m(
        "an open map without a producer is left as it is", 71,
        (_SERVICE + "jobs/rounds.py", "if goes_on[run] and not run.guest and orphans", "if False and orphans"),
    ),
    _m(
        "a producer forgets what it has put as soon as the server has it", 275,
        ("taskq/maps/feed.py", "(self._kept[0][0] < old or self._size > most)", "True"),
    ),
    # -- caps, and retries of items --------------------------------------------------------------------
    _m(
        "caps are not looked at where a claim is made", 28,
        (_LUA + "claim.lua", "most = math.min(most, (room(keys, caps, now)))", "room(keys, caps, now)"),
    ),
    _m(
        "a rate lets one item more begin", 28,
        (_LUA + "room.lua", "if used < tonumber(most) then\n        return most - used, 0",
         "if used <= tonumber(most) then\n        return most - used + 1, 0"),
    ),
    _m(
        "of a map with a rate a chunk runs as a whole", 28,
        (_SERVICE + "core/execution.py", "tried(claim.deaths), self.single,", "tried(claim.deaths), False,"),
    ),
    _m(  # where claims themselves are what is counted, none can be
        "a permit is lost with whoever dies, or gives back", 88,
        (_LUA + "room.lua", "redis.call('HLEN', keys[3])",
         "(redis.call('HGET', string.sub(keys[1], 1, -9), 'permits') or 0)"),
        (_LUA + "claim.lua", "        redis.call('LPOP', from)\n",
         "        redis.call('LPOP', from)\n        redis.call('HINCRBY', KEYS[1], 'permits', 1)\n"),
        (_LUA + "commit.lua", "redis.call('HDEL', KEYS[3], range)\n",
         "redis.call('HDEL', KEYS[3], range)\nredis.call('HINCRBY', KEYS[1], 'permits', -1)\n"),
    ),
    _m(
        "an item that is due again is dropped where the server has no memory", 1936,
        (_LUA + "claim.lua",
         "        redis.call('LPUSH', KEYS[2], due[i])\n        redis.call('ZREM', KEYS[6], due[i])",
         "        redis.call('ZREM', KEYS[6], due[i])\n        redis.call('LPUSH', KEYS[2], due[i])"),
    ),
    _m(
        "an item that waits for its next try is taken for lost", 136,
        ("taskq/maps/store.py", "missing > 0 and not any(left)", "missing > 0 and not any(left[:3])"),
    ),
    _m(
        "tries are not counted", 136,
        ("taskq/maps/deaths.py", "return only_tried(number) + TRIED", "return only_tried(number) or TRIED"),
    ),
)  # fmt: skip
