"""From a queue to a process, and what becomes of it there. Imported by the dispatcher and its exchange.

fetcher     a thread that waits for one queue's jobs
fetching    when the fetchers wait, and what they bring
intake      how a reserved id becomes something that runs
short_path  simple plain jobs, many at a time
offers      what could run now
guests      open maps of others
copies      ranges that run a second time, since the first run takes too long
beaten      runs of them that came second
kept        maps that were left, and may come again
rounds      what becomes of maps of which no event tells
search      when to look for work
planning    how much to claim and to take
feeding     which process gets what next
recall      takes back what waits behind a long task
deadlines   what has run too long
suspension  ``rq suspend``
commands    RQ's commands: stop a job, kill, shut down
outcomes    a task that ended
casualties  the tasks of a process that died
ending      how a plain job ends: finished, failed, or not ours to say
map_ending  how a map ends
ends        which of the maps are seen to in a turn
closing     a map is closed before it is complete
left_behind items that run on when it was
gathering   short jobs whose ends wait for each other
quarantine  a job that runs with nothing beside it
refusing    items that this host can't run
surrender   what goes back as it can't run here: of a sick host all, beside a long job what is to run alone
"""
