"""Who acts on what comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from taskq_workers.service.core.events import Event, Message, Stop
from taskq_workers.service.core.inbox import Inbox
from tests.waiting import HANGS, wait_until

FIRST, SECOND = Stop(1.0), Stop(2.0)


class Dispatcher:
    """What acts, in whatever thread."""

    def __init__(self) -> None:
        self.acted: list[tuple[Event, threading.Thread]] = []
        self.willing = True

    def act(self, event: Event) -> bool:
        if self.willing:
            self.acted.append((event, threading.current_thread()))
        return self.willing


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher()


@pytest.fixture
def inbox(dispatcher: Dispatcher) -> Inbox:
    inbox = Inbox()
    inbox.open(dispatcher.act)
    return inbox


@pytest.fixture
def waiting(inbox: Inbox) -> Iterator[list[list[Event]]]:
    """What a thread of the dispatcher's has heard, which has let go of the turn meanwhile."""
    heard: list[list[Event]] = []
    inbox._turn.release()  # the test's thread is not the dispatcher's

    begun = threading.Event()

    def run() -> None:
        inbox._turn.acquire()
        begun.set()
        while not heard or Message({}) not in heard[-1]:
            heard.append(inbox.wait(HANGS))
        inbox._turn.release()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(HANGS)
    with inbox._turn:  # as soon as it lets go of that, it waits
        pass
    yield heard
    inbox.put(Message({}))
    thread.join(HANGS)
    assert not thread.is_alive()


def test_all_that_has_come_in_its_order(inbox: Inbox) -> None:
    inbox.put(FIRST)
    inbox.put(SECOND)
    assert inbox.wait(0.0) == [FIRST, SECOND]
    assert inbox.wait(0.0) == []


def test_who_waits_is_woken(inbox: Inbox, waiting: list[list[Event]]) -> None:
    inbox.put(FIRST)
    wait_until(lambda: waiting)
    assert waiting == [[FIRST]]
    inbox.ring()
    wait_until(lambda: len(waiting) > 1)
    assert waiting[1:] == [[]]


@pytest.mark.usefixtures("waiting")
def test_while_the_dispatcher_waits_whoever_comes_acts(inbox: Inbox, dispatcher: Dispatcher) -> None:
    inbox.hand(FIRST)
    assert dispatcher.acted == [(FIRST, threading.current_thread())]
    inbox.hand(SECOND)
    assert [event for event, _thread in dispatcher.acted] == [FIRST, SECOND]


def test_while_the_dispatcher_acts_all_waits(inbox: Inbox, dispatcher: Dispatcher) -> None:
    inbox.hand(FIRST)
    assert not dispatcher.acted
    assert inbox.take() == [FIRST]


def test_what_is_no_matter_for_another_thread_waits(
    inbox: Inbox, waiting: list[list[Event]], dispatcher: Dispatcher
) -> None:
    dispatcher.willing = False
    inbox.hand(FIRST)
    wait_until(lambda: waiting)
    assert waiting == [[FIRST]]


def test_nothing_overtakes_what_waits(inbox: Inbox, dispatcher: Dispatcher) -> None:
    inbox.put(FIRST)
    inbox._turn.release()  # as in ``wait``, in the moment before the dispatcher takes what has rung
    inbox.hand(SECOND)
    inbox._turn.acquire()
    assert not dispatcher.acted
    assert inbox.take() == [FIRST, SECOND]


def test_nobody_acts_before_the_dispatcher_begins() -> None:
    inbox = Inbox()
    inbox.hand(FIRST)
    assert inbox.take() == [FIRST]
