"""Other servers than the suite's: with replicas and sentinels, of all versions, with commands forbidden."""
