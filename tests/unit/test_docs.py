"""docs/commands.md, docs/operations.md and docs/security.md name what there is."""

from __future__ import annotations

import re

import click
import yaml

from taskq.redis.schema import SCHEMA
from taskq_workers.cli import cli, exits
from tests.unit import source

COMMANDS = (source.ROOT / "docs/commands.md").read_text(encoding="utf-8")
SECURITY = (source.ROOT / "docs/security.md").read_text(encoding="utf-8")
OPERATIONS = (source.ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_every_command_is_listed() -> None:
    listed = set(re.findall(r"`taskq ([a-z]+(?:-[a-z]+)*)", COMMANDS))
    assert set(cli.commands) <= listed
    assert listed <= set(cli.commands)


def test_every_exit_code_is_listed() -> None:
    codes = {name: code for name, code in vars(exits).items() if name.isupper()}
    assert {
        name: int(code) for code, name in re.findall(r"^\| (\d+) \| `([A-Z_]+)`", COMMANDS, re.MULTILINE)
    } == codes


def test_every_option_of_the_worker_is_listed() -> None:
    rows = dict(re.findall(r"^\| `(--[a-z-]+)` \| `([A-Z_]+)`", OPERATIONS, re.MULTILINE))
    options = {
        one.opts[0]: one.envvar if isinstance(one.envvar, str) else one.envvar[0]
        for one in cli.commands["worker"].params
        if isinstance(one, click.Option) and one.envvar and not one.hidden and one.opts[0] in rows
    }
    assert {"--log-format", "--metrics-port", "--metrics-host"} <= set(rows)
    assert options == rows


def test_the_compose_file_probes_the_worker() -> None:
    compose = yaml.safe_load((source.ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    worker = compose["services"]["worker"]
    assert worker["healthcheck"]["test"] == ["CMD", "taskq", "health"]
    assert {"TASKQ_METRICS_PORT", "TASKQ_METRICS_HOST", "TASKQ_LOG_FORMAT"} <= set(worker["environment"])


def test_every_attack_names_a_test() -> None:
    rows = [line for line in SECURITY.partition("## Attacks")[2].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        links = re.findall(r"\[([^]]+)\]\(\.\./(tests/[\w/]+\.py)\)", row)
        assert links, row
        for names, path in links:
            code = (source.ROOT / path).read_text(encoding="utf-8")
            for name in re.findall(r"`(test_\w+)`", names):
                assert f"def {name}(" in code, (name, path)


def test_every_call_of_rq_s_that_runs_code_is_listed() -> None:
    listed = SECURITY.partition("## RQ's own tools run code")[2].partition("## --allow-import")[0]
    code = (source.ROOT / "tests/acceptance/test_rq_reads.py").read_text(encoding="utf-8")
    calls = re.findall(r'^    "([\w.()]+)":', code.partition("CALLS = {")[2].partition("}")[0], re.MULTILINE)
    assert len(calls) > 15
    for call in calls:
        assert call.removeprefix("Job.fetch().").partition(".count")[0] in listed, call


def test_the_schema_is_the_one_that_is_told() -> None:
    assert f"*schema*: {SCHEMA} in this version" in OPERATIONS
