"""RQ's side of a service: RQ's own code, and the little that is different. Imported by the service.

worker     RQ's worker, which keeps RQ's books of each job
successes  simple successes, recorded many together
own_keys   the keys in which a worker keeps books of itself
job        RQ's job, whose pickles stay sealed
ear        keeps the errors that RQ's code only logs
fence      has RQ's methods record only what is ours
prefixes   what RQ's keys begin with
scheduler  RQ's scheduler
lean       redis-py's connection without what costs time
"""
