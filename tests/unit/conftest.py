"""Hypothesis: no deadline, since a busy machine is no failure, and nothing left on disk."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("taskq", deadline=None, database=None)
settings.load_profile("taskq")
