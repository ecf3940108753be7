"""What both ends of a lane share: what travels between them, and the memory that both see.

Belongs to neither end; imported by lanes, by processes, and by the service.

    tasks   what travels, as plain data
    marker  what runs, since when, and what is to stop
    lending whether the process waits for other work
    flight  what runs, where it outlives the service
    tray    large results
    ledger  how the jobs of a batch ended
    known   which maps the process knows

and what the services of one host share:

    host_file  large objects
"""
