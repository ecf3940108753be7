"""What other packages do on RQ's worker, they do on ours: ``make ecosystem``, an environment for each."""
