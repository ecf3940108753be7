"""The processes that run taskq's jobs. Nothing here is needed by a producer.

    cli/         what people type                  report/   one map in one file
    dashboard/   what people look at               manager/  starts and restarts services
    service/     takes jobs, keeps the books       lanes/    pool processes, seen from a service
    process/     runs user code                    link/     what both ends of a lane share

    settings, rq_options, user_code  what a worker is told      signals    all handling of signals
    logs, telemetry                  what it says               user_path  where the user's modules are found
    json_lines                       values as lines of JSON   __main__   the command
    readable                         which jobs RQ's own code can work with
    hosts                            by which name a page is asked for
    webhooks                         RQ's, to public addresses
    clock                            what time it is: the server's, for RQ's code too
    build                            which code of taskq this is  hooks      how the user's hooks are called
    computing                        what the demo has computed

Imports point one way: cli -> dashboard -> report -> manager -> service -> lanes -> process -> link -> the rooms
without a folder -> taskq. ``make lint`` checks that (import-linter, pyproject.toml).
"""

import taskq.as_program  # noqa: F401 - before all others: see there
