"""``python -m workers``: the command ``taskq``, where its script is not on the PATH."""

from workers.cli import main

if __name__ == "__main__":
    main()
