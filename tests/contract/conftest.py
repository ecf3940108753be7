"""Hypothesis, as in the unit tests: no deadline, since a busy machine is no failure, and nothing left on disk.

And a queue whose maps are signed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from taskq import Queue
from taskq.payload import signing
from tests.secret import KEY

settings.register_profile("taskq", deadline=None, database=None)
settings.load_profile("taskq")


@pytest.fixture
def secret_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is a secret key."""
    monkeypatch.setenv(signing.VARIABLE, KEY)
    yield
    signing._in_use.clear()


@pytest.fixture
def signed_queue(any_queue: Queue, secret_key: None) -> Queue:
    """As its first test parameter says, and made while there is a key."""
    return Queue(any_queue.name, connection=any_queue.connection)
