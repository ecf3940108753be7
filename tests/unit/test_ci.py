"""What a stranger meets first: CI, templates, CITATION and CONTRIBUTING name what there is."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from taskq_workers.cli import cli
from tests.unit import source

ROOT = source.ROOT
TEXT = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def commands(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def test_ci_runs_what_everybody_can_run() -> None:
    assert commands("check") == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    for job in JOBS:
        for command in commands(job):
            if command.startswith("make "):
                assert f"\n{command.split()[1]}:" in MAKEFILE, command
    for step in re.findall(r"^make (.*)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE):
        assert all(f"\n{target}:" in MAKEFILE for target in step.split())


def test_ci_has_each_python_that_is_promised() -> None:
    promised = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)]
    assert JOBS["check"]["strategy"]["matrix"]["python"] == promised


def test_ci_has_each_kind_of_server_that_is_told_of() -> None:
    asked = JOBS["servers"]["strategy"]["matrix"]["server"]
    told = re.findall(
        r"^\| ((?:Redis|Valkey) [\d.]+) \| ", (ROOT / "docs/redis.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(told) > 4
    assert not [name for name in told if not any(name.lower().startswith(one) for one in asked)]
    assert not [one for one in asked if not any(name.lower().startswith(one) for name in told)]


def test_actions_are_pinned_and_get_no_more_than_they_need() -> None:
    for used in re.findall(r"uses: (.*)", TEXT):
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
    assert yaml.safe_load(TEXT)["permissions"] == {"contents": "read"}
    for job in JOBS.values():
        assert job["timeout-minutes"] <= 60
        checkout = job["steps"][0]
        assert checkout["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda one: one.name)
def test_the_templates_are_forms(path: Any) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.name == "config.yml":
        assert set(form) <= {"blank_issues_enabled", "contact_links"}
        for link in form["contact_links"]:
            assert set(link) == {"name", "url", "about"}
            assert link["url"].startswith(PROJECT["urls"]["Source"])
            path = link["url"].partition("/blob/main/")[2]
            assert not path or (ROOT / path).exists(), path
        return
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    for command in re.findall(r"`taskq ([a-z-]+)", path.read_text(encoding="utf-8")):
        assert command in cli.commands


def test_the_citation() -> None:
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version"} <= set(told)
    assert told["repository-code"] == PROJECT["urls"]["Source"]
    assert told["license"] == PROJECT["license"]
    assert str(told["version"]) == PROJECT["version"]


def test_what_contributing_says_to_run_is_there() -> None:
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", CONTRIBUTING, re.MULTILINE):
        assert f"\n{target}:" in MAKEFILE, target
    for place in re.findall(r"`((?:taskq|tests|workers|scripts|benchmarks|docs|\.ci)/[\w./-]*)`", CONTRIBUTING):
        assert (ROOT / place).exists(), place
    for place in re.findall(r"python (scripts/\w+\.py)", CONTRIBUTING):
        assert (ROOT / place).exists(), place
