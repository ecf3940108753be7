"""Redis: connections, the schema of all keys, the scripts, and what a server may do to us.

Knows nothing of what is in a payload. Imported by everybody above.

    keys         the schema: every key, field and channel
    kinds        what kind of job an RQ job hash describes
    ids          which ids a job can have
    checked      values and records, whatever stands there
    connection   connections
    sentinel     connections to the primary that sentinels tell
    sentinel_urls  URLs of such a one
    watched      a socket on which nobody waits for what is not the primary any more
    urls         what is wrong with a URL, and how it is shown
    credentials  passwords that another program gives
    clients      which clients of redis-py can be used
    reach        why a server can't be worked with, and what to do
    patience     what is tried again, and for how long
    once         what is not said again if only its reply was lost
    replicas     what was pushed is to be on replicas, too
    exposure     the warning that others may reach an unsigned server
    server       a private server
    keeper       ends it when its program is gone
    services     the register of live services
    holdings     what each worker holds
    clock        the server's time
    schema       which versions of taskq may work side by side
    admission    asks whether this one may, on a server
    refusals     counts of what was refused as unsigned or not allowed
    list_reader  reads a long list in bounded steps
    scripting    scripts where SCRIPT is forbidden
    lua          one file for each operation
"""
