"""Keys and signatures, and the codec that uses them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import taskq
from taskq import OptionError, SignatureError
from taskq.payload import codec, signing
from taskq.payload.signing import LEAST, MAGIC, Keyring

OLD, NEW = "o" * LEAST, "n" * LEAST

places = st.lists(st.text(), min_size=1, max_size=4)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    signing._in_use.clear()
    yield
    signing._in_use.clear()


def test_without_a_key_there_is_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.VARIABLE, raising=False)
    assert not signing.keyring()
    assert codec.at("chunk", "a").dumps([1]) == pickle.dumps([1], 5)


@given(st.binary(), places)
def test_what_was_sealed_is_opened_in_its_place(payload: bytes, place: list[str]) -> None:
    seal = Keyring.parse(NEW).seal(*place)
    assert seal.open(seal.close(payload)) == payload


@given(st.binary(), places, places)
def test_nothing_is_opened_in_another_place(payload: bytes, one: list[str], other: list[str]) -> None:
    keys = Keyring.parse(NEW)
    sealed = keys.seal(*one).close(payload)
    if one != other:
        with pytest.raises(SignatureError, match="for another place"):
            keys.seal(*other).open(sealed)


@given(st.binary(max_size=100), st.data())
def test_nothing_is_opened_that_was_changed(payload: bytes, data: st.DataObject) -> None:
    seal = Keyring.parse(NEW).seal("place")
    sealed = bytearray(seal.close(payload))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignatureError):
        seal.open(bytes(sealed))


@given(st.binary())
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(SignatureError):
        Keyring.parse(NEW).seal("place").open(garbage)


def test_rotation() -> None:
    """The first key signs, all verify: old ones, put behind, are still read; once removed they are not."""
    before, during, after = (Keyring.parse(text).seal("x") for text in (OLD, f"{NEW}, {OLD}", NEW))
    assert during.open(before.close(b"1")) == b"1"
    assert after.open(during.close(b"2")) == b"2"
    with pytest.raises(SignatureError, match="another key"):
        after.open(before.close(b"3"))


@pytest.mark.parametrize("text", ["short", f"{NEW},", f",{NEW}", f"{NEW},,{OLD}", "k" * (LEAST - 1)])
def test_short_keys(text: str) -> None:
    with pytest.raises(OptionError, match=r"key \d of TASKQ_SECRET_KEY has \d+ characters; 32 are the least"):
        Keyring.parse(text)


@pytest.mark.parametrize("text", ["", "  ", "\n", ",", " , ,\n"])
def test_a_blank_key_is_not_no_key(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(signing.VARIABLE, text)
    with pytest.raises(OptionError, match="TASKQ_SECRET_KEY is set, and holds no key"):
        signing.keyring()
    with pytest.raises(OptionError, match="holds no key"):
        taskq.Queue(url="redis://localhost")
    monkeypatch.delenv(signing.VARIABLE)
    assert not signing.keyring()
    (tmp_path / "key").write_text(text)
    monkeypatch.setenv(signing.FILE, str(tmp_path / "key"))
    with pytest.raises(OptionError, match="holds no key"):
        signing.keyring()


def test_a_key_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{NEW}\n")
    monkeypatch.delenv(signing.VARIABLE, raising=False)
    monkeypatch.setenv(signing.FILE, str(tmp_path / "key"))
    assert signing.keyring().seal("x").close(b"1") == Keyring.parse(NEW).seal("x").close(b"1")
    monkeypatch.setenv(signing.VARIABLE, NEW)
    with pytest.raises(OptionError, match="both set"):
        signing.keyring()
    monkeypatch.delenv(signing.VARIABLE)
    for nowhere in ("", str(tmp_path), str(tmp_path / "no")):
        monkeypatch.setenv(signing.FILE, nowhere)
        with pytest.raises(OptionError, match="can't be read"):
            signing.keyring()


def test_keys_are_not_shown() -> None:
    keys = Keyring.parse(f"{NEW},{OLD}")
    for shown in (repr(keys), str(keys), repr(keys.seal("x")), f"{keys}"):
        assert NEW not in shown
        assert OLD not in shown
    with pytest.raises(OptionError) as caught:
        Keyring.parse("secret")
    assert "secret" not in str(caught.value).replace("import secrets; print(secrets", "").lower().replace(
        "secret_key", ""
    )


def test_the_environment_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, OLD)
    data = codec.at("x").dumps(1)
    monkeypatch.setenv(signing.VARIABLE, f"{NEW},{OLD}")
    assert codec.at("x").loads(data) == 1
    monkeypatch.setenv(signing.VARIABLE, NEW)
    with pytest.raises(SignatureError):
        codec.at("x").loads(data)


def test_a_pool_process_uses_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, OLD)
    signing.use(Keyring())
    assert not signing.keyring()
    signing.use(Keyring.parse(NEW))
    assert signing.keyring().seal("x").close(b"1") == Keyring.parse(NEW).seal("x").close(b"1")


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.abort, ()


def test_nothing_unsigned_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, NEW)
    bomb = pickle.dumps(Bomb())
    for data in (bomb, MAGIC + bytes(32) + bomb, Keyring.parse(OLD).seal("x").close(bomb)):
        with pytest.raises(SignatureError, match=r"was not read.*TASKQ_SECRET_KEY"):
            codec.at("x").loads(data)


def test_without_a_key_what_is_signed_is_not_read_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.VARIABLE, raising=False)
    with pytest.raises(SignatureError, match="TASKQ_SECRET_KEY is not set here"):
        codec.at("x").loads(Keyring.parse(NEW).seal("x").close(pickle.dumps(1)))


def test_no_pickle_begins_as_a_signature_does() -> None:
    with pytest.raises(pickle.UnpicklingError, match="invalid load key"):
        pickle.loads(MAGIC + pickle.dumps(1))
