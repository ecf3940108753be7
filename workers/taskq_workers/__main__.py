"""``python -m taskq_workers``: as ``python -m taskq``."""

from taskq_workers.cli import main

if __name__ == "__main__":
    main()
