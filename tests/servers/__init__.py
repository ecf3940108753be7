"""Other servers than the one of the suite: with replicas and sentinels, of all versions that can be had, and forbidding."""
