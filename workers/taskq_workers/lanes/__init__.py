"""Lanes: pool processes as a service sees them. Imported by the service.

lanes      the row of lanes: starts, fills and replaces them
lane       one process, the tasks it has been given, and all that is known of its death
lone_pool  ``multiprocessing.Pool`` of one process
oom        whether the kernel has killed for want of memory
guard      ends what job code has started, when its service is gone
"""
