"""Who gets the next process: nobody waits in vain, priority holds, time is shared, and no process idles."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskq_workers.service.core.account import Offer
from taskq_workers.service.core.line import CREDIT
from taskq_workers.service.core.policy import TOGETHER, Policy
from taskq_workers.service.core.queue_order import QueueOrder

SECONDS = st.sampled_from([0.1, 0.2, 0.3, 0.5, 1.0, 3.0])
few = settings(max_examples=15)  # each of them is hundreds of tasks


@dataclass
class Mix:
    """A service in virtual time: processes, and sources that give them tasks.

    Args:
        sources: Name -> queue, seconds of each task, weight, tasks that it has in all.
        came: Name -> when it comes.
    """

    sources: dict[str, tuple[str, float, float, int]]
    processes: int = 1
    order: QueueOrder = field(default_factory=lambda: QueueOrder("default", ["high", "low"]))
    came: dict[str, float] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.policy = Policy()
        self.left = {name: tasks for name, (_queue, _seconds, _weight, tasks) in self.sources.items()}
        self.time: Counter[str] = Counter()
        self.began: list[tuple[float, str]] = []
        self.known: set[str] = set()
        self._running: list[tuple[float, int, str]] = []
        self._number = 0

    def offers(self) -> list[Offer]:
        return [
            Offer(name, queue, self.left[name], seconds if name in self.known else 0.0, weight)
            for name, (queue, seconds, weight, _tasks) in self.sources.items()
            if self.left[name] and self.came.get(name, 0.0) <= self.now
        ]

    def run(self, until: float) -> None:
        while True:
            self._fill()
            moments = [moment for moment in self.came.values() if moment > self.now]
            moments += [self._running[0][0]] if self._running else []
            if not moments or min(moments) > until:
                return
            self.now = min(moments)
            while self._running and self._running[0][0] <= self.now:
                _moment, task, name = heapq.heappop(self._running)
                self.policy.end(task, self.sources[name][1])
                self.time[name] += self.sources[name][1]
                self.known.add(name)

    def _fill(self) -> None:
        while len(self._running) < self.processes:
            offers = self.offers()
            self.policy.note(offers, self.now)
            offer = next(self.policy.upcoming(offers, self.order, self.now), None)
            assert (offer is None) == (not offers), "no process idles while anything is offered"
            if offer is None:
                return
            self._number += 1
            name = str(offer.source)
            self.policy.begin(self._number, offer, self.now)
            self.order.took(offer.queue)
            self.left[name] -= 1
            self.began.append((self.now, name))
            heapq.heappush(self._running, (self.now + self.sources[name][1], self._number, name))

    def first(self, name: str) -> float:
        return next(moment for moment, one in self.began if one == name)


MANY = 10**9


@few
@given(st.lists(SECONDS, min_size=1, max_size=8), st.integers(1, 4))
def test_equal_sources_get_equal_time(seconds: Sequence[float], processes: int) -> None:
    mix = Mix({f"m{n}": ("low", one, 1.0, MANY) for n, one in enumerate(seconds)}, processes)
    longest = max(seconds)
    mix.run(until=20 * longest * len(seconds) / processes)
    share = sum(mix.time.values()) / len(seconds)
    for name in mix.sources:  # but for what runs, and for one task that each process has begun at the same time
        assert abs(mix.time[name] - share) <= (2 + processes) * longest


@few
@given(st.lists(st.tuples(SECONDS, st.sampled_from([0.5, 1.0, 2.0, 4.0])), min_size=2, max_size=6))
def test_weights_are_shares(given_ones: list[tuple[float, float]]) -> None:
    mix = Mix({f"m{n}": ("low", seconds, weight, MANY) for n, (seconds, weight) in enumerate(given_ones)})
    longest, weights = max(seconds for seconds, _ in given_ones), sum(weight for _, weight in given_ones)
    mix.run(until=60 * longest * len(given_ones))
    total = sum(mix.time.values())
    for name, (_queue, _seconds, weight, _tasks) in mix.sources.items():
        assert abs(mix.time[name] - total * weight / weights) <= 3 * longest * max(1.0, weight) + CREDIT


@few
@given(st.lists(SECONDS, min_size=1, max_size=8), st.integers(1, 4), SECONDS)
def test_a_queue_before_another_gets_every_process(low: Sequence[float], processes: int, high: float) -> None:
    sources = {f"low{n}": ("low", one, 1.0, MANY) for n, one in enumerate(low)}
    mix = Mix({**sources, "high": ("high", high, 1.0, MANY)}, processes, came={"high": 3.3})
    mix.run(until=3.3 + 20 * max(*low, high))
    assert all(name == "high" for moment, name in mix.began if moment > 3.3)


@few
@given(st.lists(SECONDS, min_size=1, max_size=64), st.integers(1, 4), st.floats(TOGETHER + 0.01, 60.0))
def test_a_newcomer_gets_the_next_process(seconds: Sequence[float], processes: int, moment: float) -> None:
    """Whatever came before, however many of it have not had anything yet."""
    sources = {f"m{n}": ("low", one, 1.0, MANY) for n, one in enumerate(seconds)}
    mix = Mix({**sources, "new": ("low", 0.001, 1.0, 3)}, processes, came={"new": moment})
    mix.run(until=moment + 3 * max(seconds))
    assert next(name for at, name in mix.began if at >= moment) == "new"


@few
@given(st.lists(SECONDS, min_size=1, max_size=64), st.integers(1, 4))
def test_those_that_came_together_go_in_their_order(seconds: Sequence[float], processes: int) -> None:
    sources = {f"m{n}": ("low", one, 1.0, MANY) for n, one in enumerate(seconds)}
    mix = Mix(sources, processes)
    mix.run(until=70 * max(seconds))
    first = [*dict.fromkeys(name for _moment, name in mix.began)]
    assert first == [*mix.sources]


@few
@given(st.integers(1, 6), SECONDS, SECONDS, st.integers(1, 3))
def test_a_stream_of_newcomers_starves_nobody(count: int, old: float, new: float, processes: int) -> None:
    """A new map whenever a process is free, for ever."""
    sources = {f"old{n}": ("low", old, 1.0, MANY) for n in range(count)}
    stream = {f"new{n}": ("low", new, 1.0, 1) for n in range(60)}
    came = {name: n * new / processes for n, name in enumerate(stream)}
    mix = Mix({**sources, **stream}, processes, came=came)
    end = 60 * new / processes
    mix.run(until=end)
    everybody = sum(mix.time.values())
    for name in sources:  # as its share would be if all of them were there all the time
        assert mix.time[name] >= everybody / len(mix.sources) - old - new


def test_what_was_had_before_those_who_are_gone_is_nobodys_debt() -> None:
    gone = {"old": ("low", 0.1, 1.0, 30), "long": ("low", 20.0, 1.0, 1)}
    maps = {f"m{n}": ("low", 2.0, 1.0, 9) for n in range(9)}
    came = {"long": 1.0, "new": 51.0, **dict.fromkeys(maps, 50.0)}
    mix = Mix({**gone, **maps, "new": ("low", 0.001, 1.0, 1)}, came=came)
    mix.run(until=60.0)
    assert mix.first("new") == 52.0


def test_nobody_waits_for_ever_behind_newcomers() -> None:
    stream = {f"new{n}": ("low", 0.1, 1.0, 1) for n in range(300)}
    mix = Mix({"old": ("low", 0.1, 1.0, MANY), **stream}, came={name: n / 10 for n, name in enumerate(stream)})
    mix.run(until=30.0)
    assert sum(name == "old" for _moment, name in mix.began[150:]) >= 3


@few
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.sampled_from(["high", "low"]), SECONDS,
                    st.floats(0.1, 10.0), st.integers(1, 5)), min_size=1),
    st.integers(1, 4),
    st.sampled_from(["default", "round_robin", "random"]),
)  # fmt: skip
def test_all_that_is_offered_is_run(
    sources: dict[str, tuple[str, float, float, int]], processes: int, strategy: str
) -> None:
    mix = Mix(sources, processes, QueueOrder(strategy, ["high", "low"]))
    mix.run(until=1e9)
    assert Counter(name for _moment, name in mix.began) == {one: tasks for one, (*_, tasks) in sources.items()}


@pytest.mark.parametrize("strategy", ["round_robin", "random"])
def test_queues_that_take_turns_starve_none(strategy: str) -> None:
    sources = {f"{queue}{n}": (queue, 0.1, 1.0, MANY) for queue in ("high", "low") for n in range(3)}
    mix = Mix(sources, 1, QueueOrder(strategy, ["high", "low"]))
    mix.run(until=100.0)
    shares = Counter(name[:-1] for _moment, name in mix.began)
    assert abs(shares["high"] - shares["low"]) <= (1 if strategy == "round_robin" else 300)


def test_what_runs_for_long_counts_as_it_goes_on() -> None:
    """Else one of which nothing has ended yet would have all processes."""
    mix = Mix({"long": ("low", 60.0, 1.0, MANY), "short": ("low", 0.1, 1.0, MANY)}, processes=8)
    mix.run(until=30.0)
    assert sum(name == "long" for _moment, name in mix.began) <= 6


def test_who_comes_back_makes_up_for_nothing() -> None:
    mix = Mix({"a": ("low", 0.1, 1.0, 5), "b": ("low", 0.1, 1.0, MANY)})
    mix.run(until=100.0)
    mix.left["a"] = MANY
    at = len(mix.began)
    mix.run(until=110.0)
    shares = Counter(name for _moment, name in mix.began[at:])
    assert abs(shares["a"] - shares["b"]) <= 2


@pytest.mark.parametrize("count", [2, 8])
def test_a_job_waits_for_no_other_job_that_runs(count: int) -> None:
    """One that runs for long, or waits itself for a map while its place is lent."""
    policy, order = Policy(), QueueOrder("default", ["low"])
    maps = [Offer(f"m{n}", "low", MANY, 0.1) for n in range(count)]
    jobs = Offer("low", "low", 1, anew=True)
    policy.note([*maps, jobs], 0.0)
    policy.begin("long", jobs, 0.0)
    for step in range(150):
        policy.note(maps, step / 10)
        offer = next(policy.upcoming(maps, order, step / 10))
        policy.begin(step, offer, step / 10)
        policy.end(step, 0.1)
    policy.note([*maps, jobs], 15.0)
    assert next(policy.upcoming([*maps, jobs], order, 15.0)).source == "low"


def test_a_map_that_is_back_is_no_newcomer() -> None:
    """All that is pending of it may be in hands for a moment; plain jobs are others each time."""
    policy, order = Policy(), QueueOrder("default", ["low"])
    old, maps, jobs = (Offer(name, "low", MANY, 1.0, anew=name == "low") for name in ("old", "map", "low"))
    policy.note([old, maps, jobs], 0.0)
    for number, offer in enumerate([old, maps, jobs]):
        policy.begin(number, offer, float(number))
        policy.end(number, 1.0)
    policy.note([old], 3.0)
    policy.begin("one more", old, 3.0)
    policy.end("one more", 0.5)
    policy.note([old, maps, jobs], 4.0)
    picks = [offer.source for offer in itertools.islice(policy.upcoming([old, maps, jobs], order, 4.0), 2)]
    assert picks == ["low", "old"]


def test_to_ask_changes_nothing() -> None:
    policy, order = Policy(), QueueOrder("round_robin", ["high", "low"])
    offers = [Offer("a", "high", 3), Offer("b", "low", 3), Offer("c", "low", 1)]
    policy.note(offers, 0.0)
    first = [offer.source for offer in policy.upcoming(offers, order, 0.0)]
    assert first == [offer.source for offer in policy.upcoming(offers, order, 0.0)]
    assert sorted(map(str, first)) == [*"aaabbbc"]
    assert [*order] == ["high", "low"]


def test_what_was_not_run_costs_nothing() -> None:
    policy, order = Policy(), QueueOrder("default", ["low"])
    offers = [Offer("a", "low", 9, 1.0), Offer("b", "low", 9, 1.0)]
    policy.note(offers, 0.0)
    for task in range(4):
        policy.begin(task, offers[0], 0.0)
    assert next(policy.upcoming(offers, order, 0.0)).source == "b"
    for task in range(4):
        policy.end(task, 0.0)
    policy.begin(9, offers[1], 0.0)
    policy.note(offers, 0.0)
    assert next(policy.upcoming(offers, order, 0.0)).source == "a"


def test_who_begins_before_anybody_has_heard_of_it_has_no_time_to_make_up_for() -> None:
    policy, order = Policy(), QueueOrder("default", ["low"])
    old, new = Offer("old", "low", MANY, 1.0), Offer("new", "low", MANY, 1.0)
    for task in range(100):
        policy.note([old], float(task))
        policy.begin(task, old, float(task))
        policy.end(task, 1.0)
    policy.begin("first", new, 100.0)
    policy.end("first", 1.0)
    policy.note([old, new], 101.0)
    picks = itertools.islice(policy.upcoming([old, new], order, 101.0), 10)
    assert Counter(offer.source for offer in picks)["new"] <= 6


@pytest.mark.parametrize("there", [3, 32])
def test_a_stream_of_maps_that_take_next_to_no_time_leaves_a_long_one_its_turns(there: int) -> None:
    """However many come: it is their service that has no more time, and its processes have some."""
    policy, order, numbers = Policy(), QueueOrder("default", ["q"]), itertools.count()
    stream = [next(numbers) for _ in range(there)]
    began: Counter[str] = Counter()
    now = 0.0
    for task in range(5_000):
        offers = [Offer("long", "q", 99, 0.1), *(Offer(number, "q", 1, 0.001) for number in stream)]
        policy.note(offers, now)
        offer = next(iter(policy.upcoming(offers, order, now)))
        policy.begin(task, offer, now)
        now += offer.seconds
        policy.end(task, offer.seconds)
        began["long" if offer.source == "long" else "stream"] += 1
        if offer.source != "long":
            policy.forget(offer.source)
            stream.remove(offer.source)
            stream.append(next(numbers))
    assert began["long"] > 5_000 * 0.05 / 0.1 / (there + 1) / 2, "half of its share, by what each of them counts"
    assert began["stream"] > began["long"]
