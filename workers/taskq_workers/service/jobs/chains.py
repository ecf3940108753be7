"""Maps whose items are other maps' results; see ``taskq/maps/follow.py``.

Who commits to a map feeds those that follow it, whoever serves their queues: the reply to its commit names them.
Who owns one that follows looks once a second, for whatever else may have been in the way, and sees to its end.
"""

from __future__ import annotations

import logging

from taskq.maps import follow, source
from taskq.maps.follow import Follower
from taskq.maps.source import Source
from taskq_workers.service.core.damage import is_damage
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.core.state import State
from taskq_workers.service.jobs import closing

log = logging.getLogger(__name__)

_STEPS = 8  # of feeding in one turn; each may take the server some milliseconds


def note(state: State, run: MapRun, followers: str) -> None:
    """Something was committed to a map that others follow.

    Args:
        state: The service's.
        run: The map.
        followers: As its hash names them.
    """
    known = run.store.keys
    for one in source.followers(followers):
        state.feeds[one, Source(known.id, known.incarnation)] = None


def begin(state: State, run: MapRun) -> None:
    """This service owns a map from now on: it gets what its source has already."""
    if run.info.terms.follows is not None:
        run.follower = Follower(run.store)
        state.feeds[run.store.keys, run.info.terms.follows] = None


def is_due(state: State) -> bool:
    """Whether there is something to do at once."""
    return bool(state.feeds) or any(run.follower is not None and run.follower.busy for run in state.active)


def feed(state: State) -> None:
    """Have maps get what their sources have, as far as that is known to be something.

    Raises:
        redis.exceptions.RedisError: If the server can't be reached; then it is said again.
    """
    for run in [run for run in state.active if run.follower is not None and run.follower.busy]:
        with run.guarded():
            look(state, run)
    for follower, its_source in list(state.feeds)[:_STEPS]:
        try:
            said = follow.feed(state.scripts, follower, its_source)
        except Exception as error:
            if not is_damage(error):
                raise
            # Its own owner finds that, too, and ends it; who commits to the source has nothing to do with it.
            log.error("can't feed the map %s: %s", follower.id, error,
                      extra={"action": "not_fed", "job": follower.id})  # fmt: skip
            said = b""
        del state.feeds[follower, its_source]
        if said == follow.MORE:
            state.feeds[follower, its_source] = None  # behind the others


def look(state: State, run: MapRun) -> None:
    """Keep a map that this service owns up with its source; to be called about once a second.

    Raises:
        As ``Follower.look``.
    """
    if run.follower is None or run.info.terms.follows is None:  # it was a guest a moment ago
        begin(state, run)
        return
    run.follower.look()
    if run.follower.reason:
        closing.fail_map(run, run.follower.reason)
    else:
        run.look = run.look or run.follower.settled  # what has failed by that may have been the last
