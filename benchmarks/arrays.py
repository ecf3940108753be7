"""The work with large results. On its own, because NumPy takes longer to import than most jobs here to run."""

from __future__ import annotations

import numpy as np

BYTES = 2**20


def array(n: int) -> np.ndarray:
    return np.full(BYTES // 8, float(n))
