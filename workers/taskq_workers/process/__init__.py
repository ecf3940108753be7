"""What runs inside a pool process, the only place where user code does. No connection of ours to Redis.

Imported by lanes, which name what is to be started; by nobody else.

    process    start, and what is done with each kind of task
    job_run    a plain job
    horse      RQ's worker, where somebody has patched or overridden it
    around     frameworks and hooks, around each job and chunk
    hooked     the hooks, each in its time
    callbacks  the callback of a map
    failing    what follows if one of these fails
    jobs       the RQ job that user code sees
    late_job   the current job, no more of it read than is needed
    errands    stopped callbacks, handlers, webhooks, maintenance
    abandoned  failing a job of which too many workers died
    early      imports what would be looked for in the user's folder later
    streams    stdin, stdout and the other open files
    forkserver what happens in it before it forks anything
    preload    ``--preload``
    check      whether the user's classes can be loaded
"""
