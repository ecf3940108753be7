"""taskq for asyncio: maps and jobs that are awaited, and iterated over with ``async for``.

    async with taskq.aio.Queue() as queue:
        job = await queue.map(compute, items)      # items may come from an ``async for``, too
        print(await job)

    tasks ── wait ──> Hub ── redis.asyncio: one subscription for all ──> server      a map has something new
          ── wait ──> Ends ─ redis.asyncio: one XREAD for all ─────────> server      a plain job has ended
          ── ask, push ──> Hands: two threads ── ``taskq.Queue``, ``MapJob`` ──> server

Nobody waits in a thread. What is asked and pushed goes through the code that everybody else uses, so that what is
told was proved the same way, and pickles are made and read beside the event loop, not on it. Nobody in ``taskq``
imports this room but ``taskq/__init__``, by name and late.
"""

from taskq.aio.job import Job
from taskq.aio.lazy import Lazy
from taskq.aio.map_job import MapJob, Values
from taskq.aio.open_map import OpenMap
from taskq.aio.queue import Queue

__all__ = ["Job", "Lazy", "MapJob", "OpenMap", "Queue", "Values"]
