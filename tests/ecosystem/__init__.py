"""What other packages do on RQ's worker, they do on ours: each in an environment of its own, by ``make ecosystem``."""
