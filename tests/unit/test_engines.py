"""What ``--engine`` takes, and what a node is told of a worker."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from taskq.errors import OptionError
from taskq.payload.signing import VARIABLE, Keyring
from taskq_workers.engines import choose, spec
from taskq_workers.settings import Settings, Trust

KEY, OTHER = "k" * 40, "o" * 40


@pytest.mark.parametrize("url", ["dask://h:8786", "dask+tls://h:8786/", "dask://[::1]:8786", "executor://a.b:c"])
def test_engines(url: str) -> None:
    choose.check(url)


@pytest.mark.parametrize(
    "url",
    ["dask://", "dask://h", "dask://h:x", "dask://h:1/path", "dask://u@h:1", "tcp://h:1", "executor://a", "x"],
)
def test_what_is_none(url: str) -> None:
    with pytest.raises(OptionError, match="write dask://host:8786"):
        choose.check(url)


def test_nothing_imports_dask_without_the_option() -> None:
    """Nor with an executor."""
    code = (
        "import sys, taskq_workers.cli.worker, taskq_workers.service.service, taskq_workers.manager.manager\n"
        "from taskq_workers.engines import choose, executor, node\n"
        "sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_secret_travels() -> None:
    settings = Settings(f"redis://name:{OTHER}@host:1/2?password={OTHER}", trust=Trust(Keyring([KEY.encode()])))
    told = pickle.dumps(spec.of(settings, "name"))
    assert KEY.encode() not in told
    assert OTHER.encode() not in told
    assert pickle.loads(told).url == "redis://host:1/2"


def test_the_keys_of_a_node_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told = spec.of(Settings("redis://host:1/2", trust=Trust(Keyring([KEY.encode()]))), "name")
    monkeypatch.setenv(VARIABLE, OTHER)
    monkeypatch.setenv(spec.URL, "redis://:secret@host:1/2")
    settings = told.settings(3)
    assert (settings.url, settings.processes) == ("redis://:secret@host:1/2", 3)
    assert settings.trust.keys.seal("a").close(b"") == Keyring([OTHER.encode()]).seal("a").close(b"")


@pytest.mark.parametrize(
    ("ours", "its", "said"),
    [
        ("", "", ""),
        (KEY, KEY, ""),
        (KEY, f"{OTHER},{KEY}", ""),
        (KEY, "", "has no TASKQ_SECRET_KEY"),
        ("", KEY, "has TASKQ_SECRET_KEY set, and the worker has not"),
        (KEY, OTHER, "has another TASKQ_SECRET_KEY than the worker"),
        (KEY, "short", "has no key: key 1 of TASKQ_SECRET_KEY has 5 characters"),
    ],
)
def test_a_node_has_the_keys_or_is_refused(
    monkeypatch: pytest.MonkeyPatch, ours: str, its: str, said: str
) -> None:
    challenge = spec.challenge(Keyring([ours.encode()] if ours else []))
    if its:
        monkeypatch.setenv(VARIABLE, its)
    node = spec.introduction(challenge)
    assert spec.refusal(node, node["build"]).startswith(said)
    assert bool(spec.refusal(node, node["build"])) == bool(said)


def test_a_node_of_another_version_is_refused() -> None:
    node = spec.introduction(b"")
    assert "has Python 3.7" in spec.refusal({**node, "python": "3.7"}, node["build"])
    assert "install the same on both" in spec.refusal(node, "0-other")
