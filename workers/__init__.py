"""The services that run taskq's jobs: manager, service, RQ worker, dispatcher, lanes, pool processes.

Imports point one way, from here to ``taskq``. Nothing here is needed by a producer.
"""
