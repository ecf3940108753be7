"""``python -m taskq``: the command ``taskq``, where its script is not on the PATH."""

if __name__ == "__main__":
    from taskq_workers.cli import main

    main()
