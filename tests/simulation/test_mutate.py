"""The product is made wrong for a while, in exactly the way that is meant, and right again."""

from __future__ import annotations

import gc

import pytest

from taskq.payload.ranges import Range
from taskq.redis import lua
from tests.simulation.mutate import Change, Mutation
from tests.simulation.mutations import MUTATIONS, by_name

RANGES = "taskq/payload/ranges.py"
CLAIM = "taskq/redis/lua/claim.lua"
SAYS = 'return f"{self.start}:{self.count}"'


def mutation(*changes: tuple[str, str, str]) -> Mutation:
    return Mutation("wrong", 0, tuple(Change(*change) for change in changes))


@pytest.mark.parametrize("one", MUTATIONS, ids=lambda one: one.name)
def test_each_finds_what_it_changes(one: Mutation) -> None:
    for change in one.changes:
        assert change.old not in change.text() or change.old in change.new


def test_they_have_names_of_their_own() -> None:
    assert len({one.name for one in MUTATIONS}) == len(MUTATIONS)


def test_a_function_is_another_in_the_body_alone_for_whoever_has_it() -> None:
    says = Range.__str__
    with mutation((RANGES, SAYS, 'return f"{self.start}-{self.count}"')).applied():
        assert says(Range(1, 2)) == str(Range(1, 2)) == "1-2"
    assert says(Range(1, 2)) == str(Range(1, 2)) == "1:2"


def test_two_changes_of_one_function_are_both_made() -> None:
    changes = (RANGES, "{self.start}:", "{self.start}-"), (RANGES, '{self.count}"', '{self.count}."')
    with mutation(*changes).applied():
        assert str(Range(1, 2)) == "1-2."
    assert str(Range(1, 2)) == "1:2"


def test_it_is_right_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), mutation((RANGES, SAYS, "return str(1 / 0)")).applied():
        str(Range(1, 2))
    assert str(Range(1, 2)) == "1:2"


def test_a_script_is_another_in_the_body_alone_also_twice() -> None:
    own, other = lua.source("claim"), lua.source("commit")
    with mutation((CLAIM, "'LPOP', from", "'RPOP', from"), (CLAIM, "map[2] ~= 'open'", "false")).applied():
        changed = lua.source("claim")
        assert "'RPOP', from" in changed
        assert "if false then" in changed
        assert lua.source("commit") == other
    assert lua.source("claim") == own


@pytest.mark.parametrize(("old", "times"), [("nowhere to be found", 0), ("self", 2)])
@pytest.mark.parametrize("file", [RANGES, CLAIM])
def test_what_is_not_there_once_is_an_error(file: str, old: str, times: int) -> None:
    old = "redis.call" if file == CLAIM and times else old
    with pytest.raises(LookupError, match=r"has \d+ times, and not once"), mutation((file, old, "x")).applied():
        pytest.fail("it was applied")


def test_what_changes_no_function_is_an_error() -> None:
    change = (RANGES, "from __future__ import annotations", "from __future__ import annotations, division")
    with pytest.raises(LookupError, match="no function"), mutation(change).applied():
        pytest.fail("it was applied")


def test_what_was_not_frozen_is_not_frozen_afterwards() -> None:
    before = gc.get_freeze_count()
    with mutation((RANGES, SAYS, "return ''")).applied():
        pass
    assert gc.get_freeze_count() == before


def test_a_mutation_is_found_by_a_part_of_its_name() -> None:
    assert by_name("counted twice").name == "a commit is counted twice"
    with pytest.raises(LookupError, match="no mutation"):
        by_name("nowhere")
