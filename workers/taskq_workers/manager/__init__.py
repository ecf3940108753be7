"""The manager's process: starts the services, restarts what dies, and hands on what a dead one held.

Imported by the command line. It forks, so its threads are few and hold no locks, and it imports no user code.

    prepare         what comes before all else
    manager         cotyledon's master process
    reload          what --reload does: a changed module hangs up on the manager
    respawn         how soon what died starts again
    scheduler       RQ's scheduler as a service
    metrics_server  /metrics and /health as a service
    health          whether the services of this host are well
"""
