"""What docker-compose.yml says of Redis, for servers of the tests' own."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from tests.acceptance.worker import ROOT


def redis_conf(variables: Mapping[str, str]) -> str:
    """The configuration file that compose would write, with these variables of the environment."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    text: str = compose["services"]["redis"]["environment"]["REDIS_CONF"]
    return _interpolated(text, variables)


def _interpolated(text: str, variables: Mapping[str, str]) -> str:
    """As compose does it: ``${NAME:-default}``, ``${NAME:+text}``, ``${NAME}``; from the innermost outwards."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match["name"], match["operator"], match["word"]
        if operator == ":+":
            return word if variables.get(name) else ""
        return variables.get(name) or word or ""

    pattern = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:[-+])(?P<word>[^${}]*))?\}")
    while pattern.search(text):
        text = pattern.sub(value, text)
    return text
