"""What one service knows: its state, which one thread owns at a time. Imported by all rooms of the service.

state      all of it
execution  one object for each RQ job that was taken
drain      when nothing is begun, so that something can run alone
errands    what waits for a process, and is no job
events     what may come to the inbox
inbox      events, and who acts on them
queue_order  in which the queues are asked
policy     which source gets the next process
damage     garbage in Redis costs the job to which it belongs
meter      counts, until they are told
solitude   the right to run what may take the host down
webhooks   RQ's webhooks, in a thread
"""
