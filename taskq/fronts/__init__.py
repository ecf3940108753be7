"""The fronts: what programs have already (``Pool``, ``Executor``) on one open map each.

    submit ──baggage──> Session ──sender──> open map ──workers: call.run──> results ──Returns──> reader ──> Tickets
                          │                                                                        │
                          └── Place: a queue's workers, or a server and processes of its own ──────┘

A session is one map job in RQ, whatever is submitted to it, with one thread that sends and one that reads, however
many futures there are. Nobody in ``taskq`` imports this room but ``taskq/__init__``, by name and late, and
``taskq.testing``; it stands on ``taskq.maps`` and ``taskq.local``.
"""
