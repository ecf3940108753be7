"""One file for all services of a host: written once, used by all, and nothing of it stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.errors import DamagedError, FunctionError
from taskq.payload.large import Told
from taskq_workers.link import host_file
from taskq_workers.link.host_file import HostFile
from tests.waiting import wait_until

DATA = os.urandom(10_000)
TOLD = Told(hashlib.sha256(DATA).hexdigest(), len(DATA))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return host_file.folder()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def suffixes(folder: Path) -> list[str]:
    """Between name and suffix stands anything."""
    return sorted(path.suffix for path in folder.iterdir())


def test_the_first_writes_it_and_others_find_it(folder: Path) -> None:
    first, second = HostFile(TOLD), HostFile(TOLD)
    assert first.claim()
    assert not first.ready
    first.add(DATA[:4000])
    assert not second.claim(), "it is being written"
    first.add(DATA[4000:])
    assert first.ready
    assert second.claim()
    assert second.ready
    assert Path(first.path).read_bytes() == Path(second.path).read_bytes() == DATA
    assert names(folder) == [TOLD.digest]
    first.close()
    assert host_file.sweep() == 0
    assert Path(second.path).read_bytes() == DATA
    second.close()
    assert names(folder) == []


def test_who_gives_up_leaves_it_to_others(folder: Path) -> None:
    first, second = HostFile(TOLD), HostFile(TOLD)
    assert first.claim()
    first.add(DATA[:4000])
    assert not second.claim()
    del first
    second.fill(DATA)
    assert Path(second.path).read_bytes() == DATA


@pytest.mark.parametrize("whole", [True, False])
def test_of_one_that_was_killed_nothing_stays(folder: Path, whole: bool) -> None:
    code = f"""
import tempfile, time; tempfile.tempdir = {tempfile.gettempdir()!r}
from taskq_workers.link.host_file import HostFile
from taskq.payload.large import Told
file = HostFile(Told({TOLD.digest!r}, {TOLD.size}))
file.claim()
file.add({DATA!r}{"" if whole else "[:-1]"})
print(flush=True)
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            assert host_file.sweep() == 0, "it is in use"
            assert suffixes(folder) == ([""] if whole else [".part", ".turn"])
        finally:
            other.kill()
            other.wait()
    assert host_file.sweep() == 1 + (not whole)
    assert names(folder) == []


def test_what_half_was_written_before_is_written_anew(folder: Path) -> None:
    (folder / f"{TOLD.digest}.x.part").write_bytes(bytes(20_000))
    file = HostFile(TOLD)
    file.fill(DATA)
    assert Path(file.path).read_bytes() == DATA


def test_one_that_is_swept_away_while_it_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = folder / f"{TOLD.digest}.turn"
    left.touch()
    lock = host_file.fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(host_file.fcntl, "flock", lock)
        left.unlink()
        lock(descriptor, how)

    monkeypatch.setattr(host_file.fcntl, "flock", late)
    file = HostFile(TOLD)
    file.fill(DATA)
    assert Path(file.path).read_bytes() == DATA
    assert names(folder) == [TOLD.digest]


def test_one_that_has_become_whole_between_two_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = HostFile(TOLD), HostFile(TOLD)
    assert first.claim()
    find = HostFile._find

    def then(self: HostFile) -> bool:
        found = find(self)
        monkeypatch.setattr(HostFile, "_find", find)
        first.add(DATA)
        return found

    monkeypatch.setattr(HostFile, "_find", then)
    assert second.claim()
    assert second.ready, "it is not written twice"
    assert names(folder) == [TOLD.digest]


def test_a_lock_that_changes_its_kind_is_given_up_for_a_moment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """See flock(2): whoever sweeps just then would find the file left over."""
    lock, held = host_file.fcntl.flock, set[int]()

    def change(descriptor: int, how: int) -> None:
        if descriptor in held:
            lock(descriptor, host_file.fcntl.LOCK_UN)
            monkeypatch.setattr(host_file.fcntl, "flock", lock)
            host_file.sweep()
        held.add(descriptor)
        lock(descriptor, how)

    monkeypatch.setattr(host_file.fcntl, "flock", change)
    first, second = HostFile(TOLD), HostFile(TOLD)
    assert first.claim()
    first.add(DATA)
    held.clear()
    assert second.claim()
    assert second.ready


def test_other_bytes_are_not_taken_for_it(folder: Path) -> None:
    file = HostFile(TOLD)
    assert file.claim()
    with pytest.raises(DamagedError, match="was changed"):
        file.add(bytes(len(DATA)))
    assert not file.ready
    del file
    assert names(folder) == []


def test_who_writes_it_is_not_waited_for_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_file, "_PATIENCE", 0.05)
    stopped, other = HostFile(TOLD), HostFile(TOLD)
    assert stopped.claim()
    wait_until(other.claim)
    other.fill(DATA)
    assert Path(other.path).read_bytes() == DATA
    other.close()
    assert suffixes(folder) == [".part", ".turn"], "the stopped one's"
    stopped.add(DATA)
    assert names(folder) == [TOLD.digest], "it has gone on"


def test_a_folder_of_somebody_elses(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(
        FunctionError, match=r"is not a folder of this user's alone\. Make room there, or set TMPDIR"
    ):
        HostFile(TOLD).claim()
    assert host_file.sweep() == 0


def test_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    file = HostFile(TOLD)
    assert file.claim()
    monkeypatch.setattr(host_file.os, "write", full)
    with pytest.raises(FunctionError, match="No space left on device"):
        file.add(DATA)


def test_nobody_makes_a_folder_to_sweep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    assert host_file.sweep() == 0
    assert not (tmp_path / "elsewhere").exists()
