"""What ``make simulate`` does, for as many seeds as there is time for; and whether it would notice."""

from __future__ import annotations

import pytest

from tests.simulation.many import MAKE_TEST, command, processes, run_slice, shown_by, tell
from tests.simulation.mutations import MUTATIONS

PART = 50  # seeds that one test runs
PARTS = 3  # of the mutations


@pytest.mark.parametrize("first", range(0, MAKE_TEST, PART))
def test_whatever_happens_it_ends_well(first: int) -> None:
    with processes(1) as pool:
        tally = pool.submit(run_slice, first, PART).result()
        assert tally.worlds == PART
        assert tally.faults.total() > PART
        if tally.failed:
            seed = min(tally.failed)
            _, story = pool.submit(tell, seed).result()
            failed = "\n".join(f"seed {seed}: {failure}" for seed, failure in tally.failed.items())
            pytest.fail(f"{story}\n\n{failed}\n{command(seed)}", pytrace=False)


@pytest.mark.parametrize("part", range(PARTS))
def test_each_way_of_being_wrong_is_noticed(part: int) -> None:
    with processes(1) as pool:
        found = pool.submit(shown_by, [one.name for one in MUTATIONS[part::PARTS]]).result()
    missed = [name for name, seen in found.items() if not seen]
    assert not missed, "no world shows these any more: see `make simulate MUTATIONS=1`"


def test_the_same_seed_always_ends_alike_whatever_was_run_before() -> None:
    told = []
    for seeds in ((0, 1, 2), (2, 1, 0)):
        with processes(1) as pool:
            told.append({seed: pool.submit(tell, seed, shrunk=False).result() for seed in seeds})
    assert told[0] == told[1]
    assert len(set(told[0].values())) == len(told[0])
