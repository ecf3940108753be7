"""Imports what Python and libraries import late, before the user's folder comes first on a pool process's path.

A project may have modules of the same names, and it is not those that are meant. What is missing here is found by
tests/acceptance/test_shadows.py.
"""

import _strptime  # type: ignore[import-not-found] # noqa: F401 - datetime.strptime: RQ reads the times of jobs by it
import secrets  # noqa: F401 - redis-py, for its first connection
