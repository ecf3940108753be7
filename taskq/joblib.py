"""joblib's backend "taskq": ``Parallel``, and so scikit-learn, on the workers of a queue.

    import joblib
    import taskq.joblib

    with joblib.parallel_config("taskq", queue=q, resume="grid-7"):
        search.fit(X, y)

To import this module registers the backend; see docs/from_joblib.md, and ``TaskqBackend`` for what it takes. Needs
the extra ``taskq-pool[joblib]``.
"""

from __future__ import annotations

try:
    import joblib  # noqa: F401 - only to see that it is there
except ImportError as error:
    if error.name != "joblib":
        raise
    raise ImportError(
        "taskq.joblib needs joblib, which is not installed: pip install 'taskq-pool[joblib]'", name="joblib"
    ) from error

from taskq.fronts.parallel.backend import TaskqBackend, register

__all__ = ["TaskqBackend"]

register()
