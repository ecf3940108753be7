"""joblib's ``Parallel`` as a front: one session for each call of a ``Parallel``, or for each of its ``with`` blocks.

    Parallel ──submit(BatchedCalls)──> Backend ──> Running ──items──> Session ──workers: item.run──> Batch ──> callback
                                                      │
                                                      ├── Large: arrays of 1 MiB and more travel once
                                                      └── Resumed: what the memo has is not run (``resume=``)

Each call of a batch is an item of its own, and the batch is a chunk. It is imported by ``taskq.joblib`` alone, for
it needs joblib.
"""
