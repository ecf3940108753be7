"""A map that is paused: what has not begun of it here goes back, also what waits to run alone."""

from __future__ import annotations

from unittest.mock import Mock

from taskq.maps import caps
from taskq.maps.terms import NONE
from taskq_workers.service.core.execution import MapRun
from taskq_workers.service.jobs import closing


def test_nothing_of_it_stays_in_hand() -> None:
    info = Mock(complete=False, state="open", paused=True, terms=NONE, caps=caps.NONE)
    run = MapRun(Mock(), Mock(), Mock(), {}, store=Mock(info=Mock(return_value=info)), info=info, guest=False)
    ready, alone = Mock(deaths=0), Mock(deaths=2)
    run.ready.append(ready)
    run.last.append(alone)
    closing.look(Mock(lanes=[]), run)
    assert [one.claim for one in run.wounded] == [ready, alone]
    assert not run.ready
    assert not run.last
