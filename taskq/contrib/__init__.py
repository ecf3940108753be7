"""taskq inside of other packages, each of which is needed only by who uses it."""
