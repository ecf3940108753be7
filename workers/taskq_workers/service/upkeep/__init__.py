"""What nobody waits for, and everybody relies on. Imported by the dispatcher, by jobs and by the manager.

membership   lease, heartbeats, taking over from those whose lease is over
evidence     what is known of a service's death
lost_runs    what it ran, for the timeline
recovery     returns what a dead worker held
mirror       RQ's records of what the service holds
suspect      plain jobs during which workers died
monitor      tells what the service does
maintenance  RQ's registries
deferred     dependents whose enqueuer died
sweep        keys of maps whose RQ job was ended by others
"""
