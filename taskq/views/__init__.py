"""Views: what services and maps tell of themselves, in the form in which people look at it.

Each record is written and read in one room. Imported by maps, which write timeline and spans, by services, and by
what people look at.

    activity      what the services do at this moment
    backlog       what waits and runs on each queue
    listed        ids of jobs, where RQ lists them
    short_ids     what is shown of an id, and which one is meant by its beginning
    waits         how long the next job has waited, and what is before it
    metrics       what has been counted
    timeline      which process ran which chunk
    tracing       OpenTelemetry's spans
    counted       a number in words
    error_groups  errors of one kind together
    progress      how far a map is
    progress_bar  the same as a bar
    forms         what a notebook shows
    said          what the library says on stderr by itself
"""
