"""``python -m taskq``: the command ``taskq``, where its script is not on the PATH."""

import sys

if __name__ == "__main__":
    # python -m looks in the working directory first; for modules of ours, that is the last place to look.
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))

    from taskq_workers.cli import main

    main()
