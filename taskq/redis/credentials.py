"""Passwords that another program gives, such as those of a cloud's that end after minutes.

A URL names who gives them: ``rediss://host:6379/0?credential_provider=module:name``. The name is a function
without arguments, or a ``redis.CredentialProvider``, or its class; asked at each connect, it returns the password,
or user and password.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - redis-py's own name

from taskq.errors import OptionError

OPTION = "credential_provider"
_PARTS = (1, 2)  # of what is given


class Named(CredentialProvider):
    """What a URL names.

    Args:
        path: ``module:name``. The module is looked for where Python looks, and in the working directory.

    Raises:
        OptionError: If it can't be imported, or is none.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._ask = _import(path)

    def get_credentials(self) -> Any:
        """User and password, or the password alone.

        Raises:
            redis.exceptions.ConnectionError: If it fails, or gives something else: it may do better in a while.
        """
        try:
            given = self._ask()
        except RedisError:
            raise
        except Exception as error:
            raise ConnectionError(f"{OPTION}={self.path} failed: {type(error).__name__}: {error}") from error
        told = given if isinstance(given, tuple) else (given,)
        if len(told) not in _PARTS or not all(isinstance(one, str) for one in told):
            raise ConnectionError(f"{OPTION}={self.path} gives neither a password nor user and password")
        return told


def taken_from(url: str) -> tuple[str, Named | None]:
    """The URL without this option, and what it names.

    Raises:
        OptionError: If that can't be had, or if the URL has a password, too.
    """
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    path = dict(options).get(OPTION)
    if path is None:
        return url, None
    rest = [(name, value) for name, value in options if name != OPTION]
    if "@" in parts.netloc or {"username", "password"} & {*dict(rest)}:
        raise OptionError(f"give a URL either user and password, or a {OPTION}")
    query = urlencode(rest)
    return url.partition("?")[0] + (f"?{query}" if query else ""), Named(path)


def _import(path: str) -> Callable[[], Any]:
    module, _, name = path.partition(":")
    try:
        with _working_directory():
            found = importlib.import_module(module)
        made = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"{OPTION}={path} can't be had, as in module:name: {error}") from error
    if inspect.isclass(made):
        made = made()
    ask = made.get_credentials if isinstance(made, CredentialProvider) else made
    if not callable(ask):
        raise OptionError(f"{OPTION}={path} is neither a function nor a redis.CredentialProvider")
    found_ask: Callable[[], Any] = ask
    return found_ask


@contextmanager
def _working_directory() -> Iterator[None]:
    """Have modules looked for there, too, last: the command taskq does not by itself, as python -m does."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
