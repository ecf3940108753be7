"""Which versions of taskq may work side by side on one server: the number of the schema.

It counts what stands in Redis and is read by others than its writer: keys, fields, formats, and what the scripts
take for granted of them. Each service says its own (``taskq:services``), each map its producer's (the mark in its
RQ job).

Schemas n and n + 1 work side by side, so that workers and producers can be replaced one by one, in any order.
Nothing else does: a worker of another schema doesn't start, a producer's ``map`` raises, and a map that comes all
the same is failed by the worker that gets it, before anything of it runs. What landed before there was a number
counts as 1, and works beside nothing.

What that demands of a change to the schema:

- It counts ``SCHEMA`` up by one if code from before it reads what it writes, and it reads what that code writes:
  whoever reads JSON or a hash passes over fields that he doesn't know, and bears with the lack of those that are
  new; no script gives a field, or a place in a list, another meaning; new keys are ones which may be missing, and
  which code from before has neither to expire nor to delete.
- It counts up by two if not. Then all must be drained and stopped before the first of the new ones starts.
- What was there only for schema n - 1 may go in n + 1.
"""

from __future__ import annotations

SCHEMA = 6
"""Not adjacent to 4, whose maps have no terms."""

TERMS = SCHEMA + 1
"""What the mark of a map says that has terms (maps/terms.py): services of schema 5 would pass over some."""

FIRST = 1
"""What counts as the schema of what says none."""


def is_adjacent(schema: int) -> bool:
    """Whether what has this schema works side by side with this code."""
    return schema > FIRST and abs(schema - SCHEMA) <= 1
