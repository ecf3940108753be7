"""Runs docs/tutorial.ipynb from its first cell to its last, and keeps what came out: ``make tutorial``.

What differs with the machine or the front end that has written a notebook is not kept: metadata, ids of cells and
outputs, how often a cell was run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
SECONDS = 120  # for a cell, most of which take less than one
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(notebook: Path) -> Any:
    """The notebook with what comes out of its cells here; raises where one of them raises."""
    told = nbformat.read(notebook, as_version=4)
    own = {key: value for key, value in os.environ.items() if not key.startswith("TASKQ_")}
    with tempfile.TemporaryDirectory() as folder:
        by_files = Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})  # no ports
        client = NotebookClient(told, timeout=SECONDS, kernel_name="python3", record_timing=False, config=by_files)
        client.execute(env={**own, "IPYTHONDIR": folder, "PWD": folder}, cwd=folder)
    return told


def strip(told: Any) -> None:
    """Take off what says nothing to a reader."""
    told.metadata = nbformat.from_dict(KERNEL)
    for number, cell in enumerate(told.cells):
        cell.id = f"cell-{number}"
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", ()):
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            if "text/html" in output.get("data", {}):  # the same in plain text is for terminals
                output.data.pop("text/plain", None)


def main() -> None:
    """Run it, and write it where it was, or where ``--to`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=NOTEBOOK)
    target = parser.parse_args().to
    told = executed(NOTEBOOK)
    strip(told)
    nbformat.validate(told)
    nbformat.write(told, target)


if __name__ == "__main__":
    main()
