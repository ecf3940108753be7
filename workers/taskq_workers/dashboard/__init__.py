"""The page of ``taskq dashboard``: what queues, maps, services and cores are doing, live in a browser.

    browser ──GET /events──> app.py ──> feed.py ──once a second──> snapshot.py ──3 pipelines──> Redis
            ──POST /jobs/...─> app.py ──> actions.py ──RQ's own methods──> Redis

The page keeps nothing: all that it shows is in Redis, so it survives the restart of everything, itself included.
It reads counters, the newest maps and a bounded piece of the timeline, and unpickles nothing but results that
somebody downloads; see docs/dashboard.md.
Needs the extra ``taskq-pool[dashboard]``; nothing else imports this package but the command line.
"""
