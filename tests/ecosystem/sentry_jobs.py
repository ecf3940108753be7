"""Jobs that tell sentry-sdk of themselves, and succeed: nobody else's events should say that."""

from __future__ import annotations

import sentry_sdk


def introduce(name: str) -> str:
    sentry_sdk.set_user({"id": name})
    sentry_sdk.set_tag("customer", name)
    sentry_sdk.add_breadcrumb(message=f"step of {name}")
    return name
