"""The nodes of one process of a cluster's, and what brings tasks to them: plain functions of plain bytes."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskq_workers.engines.engine import Answer, Parcel
from taskq_workers.engines.node import Gone, Node, Unknown
from taskq_workers.engines.spec import Spec
from taskq_workers.link.tasks import ChunkTask, Introduction

RAN, UNKNOWN, GONE, RECALLED = "ran", "unknown", "gone", "recalled"
"""What came of bringing a parcel."""

_nodes: dict[str, Node] = {}  # by the name of their service, or of that and a thread
_lock = threading.Lock()


def start(key: str, spec: Spec, processes: int) -> Node:
    """The node with this key, made anew if there is none, or it has ended.

    Raises:
        OptionError: As ``Node``.
    """
    with _lock:
        node = _nodes.get(key)
        if node is None or node.closed:
            node = _nodes[key] = Node(spec, processes)
        return node


def find(key: str) -> Node | None:
    return _nodes.get(key)


def names() -> list[str]:
    return list(_nodes)


def end(key: str) -> None:
    """End it, and its processes; it may be none."""
    with _lock:
        node = _nodes.pop(key, None)
    if node is not None:
        node.close()


def pack(parcel: Parcel, *, introduced: bool) -> bytes:
    """A parcel as it travels; ``introduced``: the map of its chunk is known where it goes."""
    task = parcel.task
    if isinstance(task, ChunkTask) and task.introduction is not None:
        new = task.introduction
        task = task._replace(introduction=None if introduced else _abroad(new))
    return pickle.dumps(replace(parcel, task=task), pickle.HIGHEST_PROTOCOL)


def _abroad(new: Introduction) -> Introduction:
    """As it travels to another host, where the files of this one are of no use."""
    function = Path(new.path).read_bytes() if new.path else new.function
    blobs = tuple(replace(blob, path="", data=Path(blob.path).read_bytes()) for blob in new.blobs)
    return replace(new, function=function, path="", blobs=blobs)


def bring(node: Node | None, parcel: bytes) -> bytes:
    """Bring a parcel to a node, and wait for what comes of it; for ``unpack``."""
    return pickle.dumps(_bring(node, parcel), pickle.HIGHEST_PROTOCOL)


def _bring(node: Node | None, parcel: bytes) -> tuple[str, Any]:
    if node is None:
        return GONE, "the node was closed"
    try:
        return RAN, node.run(pickle.loads(parcel))
    except Unknown:
        return UNKNOWN, None
    except Gone as gone:
        return GONE, str(gone)
    except CancelledError:
        return RECALLED, None


def unpack(data: bytes) -> tuple[str, Answer | str | None]:
    """What came of it: one of the words above, and the answer, or why there is none."""
    told: tuple[str, Answer | str | None] = pickle.loads(data)
    return told
