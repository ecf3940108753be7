"""Maps: how one is pushed, kept in Redis, run chunk by chunk, waited for and read.

Imported by the face (``taskq.queue``, ``taskq``), by services and pool processes, and by what people look at.

    mapper      the part of a queue that pushes maps: ``map``, ``starmap``, ``open_map``, ``imap``
    keywords    the options of a map, for type checkers
    options     what a map may be told, checked; the RQ job that is made of it
    items       the iterables of ``map(fn, *iterables)`` as one iterable of items
    settled     the items of a generator, as they were when it gave them
    chunk       cutting items into runs
    repeats     large objects that many items hold travel once
    shared      ``share``: large objects that several maps use
    body        the bytes that carry the items of one
    common      what several items of one hold
    claim       the right to run and commit one
    producer    writing a map, and making all of it visible at once
    existing    a map that has the id already is attached to, or replaced
    sameness    whether it is the one that would be pushed
    memo        results that outlive their map
    item_keys   under which keys they stand there
    remembering writing the items of a map with a memo
    draft       a map that is being written
    open_map    ``OpenMap``, whose items come while it runs
    lazy        ``imap``: a row of open maps
    feed        what its producer says to the server
    chained     what follows it on the workers: another map of its results, a fold
    folding     how that is folded
    source      how it is written whose results are whose items
    follow      how each gets its item, once
    orphans     what becomes of it when its producer is gone
    fits        whether the server takes what is to be written
    terms       what else a map was told
    told        what it was told in all, as people are shown it
    picking     one item is cancelled
    job         ``MapJob``: waits, results, errors
    iterated    what has come of it so far, and its results one by one
    values      iterators over these, as they come
    result_type the types of its items and results
    requeue     has a failed job run again
    controlled  a map is paused, cancelled, deleted, run again
    executions  what RQ lists as running, also where the record is gone
    store       all that workers do to its chunks: claim, commit, release, divide
    control     what becomes of it as a whole: closed, paused, limited, kept for so long
    reader      all that is read from them
    info        what a map's hash says, checked
    runner      runs the items of one chunk; every outcome becomes plain bytes
    remembered  what a process keeps of maps: ``taskq.state``, initializers
    pace        when a chunk stops before its end
    cutting     its rest as parts
    raised      what user code has raised, as a record
    time_limit  ``item_timeout``
    coroutines  runs what ``async def`` functions return
    coverage    which items are accounted for
    proof       that a map is complete, before that is recorded
    completed   results in the order of completion, checked
    forks       children that job code has forked stay out of what called it
    failures    what failed, as a mapping
    counting    waits for the end of a map, and counts its results
    collecting  waits for the end of a map, and reads its results meanwhile
    outage      who waits rides out a restart of the server
    doubts      why nobody works on a map
    own_feed    waiting for the end of a map that this very program feeds
    waited      what those know of a map's job who wait for it
    gathering   results into input order, while the map runs
    arrivals    results in input order, one by one, none of them held
    spans_read  which of them were read, and that these still stand there
    nested      waiting inside of what is run: the place of the process is lent
    turn        threads that take what comes, one after the other
    waiting     a map's messages, and what happens without them
    own_end     the end of a map, in the process that is about to record it
    strangers   maps that another version of taskq has pushed
    surplus     what is not stored where so many results are enough
    rq_jobs     what a stock RQ worker runs
"""
