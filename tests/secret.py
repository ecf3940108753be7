"""The secret key of tests."""

from __future__ import annotations

KEY = "correct horse battery staple and more"
