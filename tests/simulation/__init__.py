"""The product in a world of its own: virtual time, one thread, and all that may go wrong, drawn from a seed.

``make simulate`` (``__main__.py``). What runs is the product's own code: the Lua scripts in fakeredis, services'
dispatchers, producers and callers with redis-py. What stands for something else: sockets, clocks, pool processes,
RQ's fetcher, messages.

- A world: ``themes.py`` (draws plans), ``plan.py`` (who pushes what, and which faults there are), ``world.py``,
  ``run.py``.
- What it is made of: ``loop.py`` (time, hosts, processes, tasks), ``wire.py`` and ``messages.py`` (the network),
  ``server.py``, ``services.py`` (with their managers), ``processes.py`` (of their pools), ``people.py`` (producers
  and callers), ``items.py`` (what maps run), ``patches.py`` (puts all that in the places of the real ones).
- What befalls it: ``faults.py``.
- What must hold: ``oracle.py`` (of a map's keys, after every step), ``ledger.py`` (what has really run),
  ``verdicts.py`` (what people are told), ``health.py`` (who may be given up), ``rest.py`` (what may stay).
- What is told: ``story.py``, of the smallest plan that still fails (``shrink.py``); ``many.py`` runs many worlds.
- Whether it would notice: ``mutations.py`` (ways of being wrong), ``mutate.py``.
"""
