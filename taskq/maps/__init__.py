"""Maps: how one is pushed, kept in Redis, run chunk by chunk, waited for and read.

Imported by the face (``taskq.queue``, ``taskq``), by services and pool processes, and by what people look at.

    options     what a map may be told, checked; the RQ job that is made of it
    items       the iterables of ``map(fn, *iterables)`` as one iterable of items
    chunk       cutting items into runs
    body        the bytes that carry the items of one
    claim       the right to run and commit one
    producer    writing a map, and making all of it visible at once
    draft       a map that is being written
    job         ``MapJob``: waits, results, errors
    control     its other part: which map it means; cancel, delete, requeue
    executions  what RQ lists as running, also where the record is gone
    store       all that is done to a map's keys: claim, commit, release, split, close
    reader      all that is read from them
    info        what a map's hash says, checked
    runner      runs the items of one chunk; every outcome becomes plain bytes
    time_limit  ``item_timeout``
    coroutines  runs what ``async def`` functions return
    coverage    which items are accounted for
    proof       that a map is complete, before that is recorded
    completed   results in the order of completion, checked
    forks       children that job code has forked stay out of what called it
    failures    what failed, as a mapping
    gathering   results into input order, while the map runs
    arrivals    results in input order, one by one, none of them held
    waiting     a map's messages, and what happens without them
    strangers   maps that another version of taskq has pushed
    rq_jobs     what a stock RQ worker runs
"""
