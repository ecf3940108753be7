"""A service's process: one RQ worker, one dispatcher, and the only one of ours that talks to Redis.

Imported by the manager, and by ``taskq.testing``. It unpickles nothing of the user's.

    service       what cotyledon starts; puts the parts together
    dispatcher    the loop: one turn after the other
    exchange      the one pipeline of a turn
    setbacks      a turn that fails
    departure     the way out
    housekeeping  what is looked at though no event tells of it
    server_check  what is wrong with the server's settings
    version       whether it may work there at all
    jobs/         from a queue to a process, and what becomes of it
    upkeep/       what nobody waits for: leases, taking over from the dead, cleaning, telling
    core/         what a service knows: its state, and the parts of it
    rq/           RQ's side: its worker, its scheduler, its connection made cheaper

Imports go down this list; jobs may use upkeep, and all may use core.
"""
