"""Engines: what runs a service's chunks where its own host does not. Imported by the service, and by the nodes.

    service ── Seats, Seat ──> Engine ~~~ the cluster ~~~> Node ── Lanes, Lane ──> pool process

A service whose lanes are seats claims, commits, steals and recovers as any other. Each of its seats is one place
of an ``Engine``, and behind it, on the node, is a real lane: a pool process of a forkserver, with its marker,
ledger and tray. What dies there is known there, and told.

    engine    what an engine is: four methods
    spec      what a node is told of the worker, and how it is seen that both are of one kind
    seats     the row of seats, as a service sees it in place of ``Lanes``
    seat      one of them, in place of ``Lane``
    node      the other end: lanes on the node, and who looks after them
    here      the nodes of one process, found by name
    executor  over any ``concurrent.futures.Executor``
    dask      over a Dask cluster; nothing else here imports ``distributed``
    choose    which one ``--engine`` means
"""
