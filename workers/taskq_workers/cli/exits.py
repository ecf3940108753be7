"""The exit codes of all subcommands; docs/commands.md lists them."""

from __future__ import annotations

OK = 0
ERROR = 1  # an error of ours: no server, no such job, ...; `taskq health`: not healthy
USAGE = 2  # click's own: an unknown option, a value that can't be used
ITEMS_FAILED = 3  # the map was seen through, and items failed, or its callback
ENDED_EARLY = 4  # the map ended before every item was tried: cancelled, timed out, its function not loadable
OTHER_VERSION = 5  # another version of taskq works on the server, beside which this one can't
INTERRUPTED = 130  # Ctrl-C, as shells have it
PIPE_CLOSED = 141  # whoever read our output has gone, as shells have it
