"""joblib's ``Parallel`` as a front: one session for each of its calls, or for each of its ``with`` blocks.

    Parallel ──batches──> Backend ──> Running ──items──> Session ──workers: item.run──> Batch ──> callback
                                         │
                                         ├── Arguments: what is large of them travels once
                                         └── Resumed: what the memo has is not run (``resume=``)

Each call of a batch is an item of its own, and the batch is a chunk. It is imported by ``taskq.joblib`` alone, for
it needs joblib.
"""
