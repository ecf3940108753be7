"""The examples in deploy/: of the right shape, and about metrics, options and labels that exist."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from taskq.payload import signing
from taskq.views import metrics
from taskq_workers.cli import cli
from tests.unit import source

DEPLOY = source.ROOT / "deploy"

# Prometheus's own words in a query; all else that is not a metric must be a label.
WORDS = {"sum", "max", "by", "rate", "increase", "histogram_quantile", "and", "or", "on", "absent"}
OWN_LABELS = {"le", "instance"}  # which Prometheus, or its histograms, add


def exposed() -> set[str]:
    """The names of all samples that the exposition may hold."""
    text = metrics.exposition(fakeredis.FakeRedis()).decode()
    declared = {family.name for family in text_string_to_metric_families(text)}
    assert declared == {*metrics.COUNTERS, *metrics.HISTOGRAMS, *metrics.GAUGES}
    names = {f"{name}_total" for name in metrics.COUNTERS} | set(metrics.GAUGES)
    return names | {f"{name}_{part}" for name in metrics.HISTOGRAMS for part in ("bucket", "sum", "count")}


def labels() -> set[str]:
    tables = (metrics.COUNTERS, metrics.HISTOGRAMS, metrics.GAUGES)
    return {label for table in tables for entry in table.values() for label in entry[1]}


def read(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana/taskq.json").read_text(encoding="utf-8"))


def queries() -> Iterator[tuple[str, str]]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in read("prometheus/alerts.yml")["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for trigger in read("kubernetes/scaledobject.yaml")["spec"]["triggers"]:
        yield "ScaledObject", trigger["metadata"]["query"].removesuffix(" or vector(0)")


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_queries_are_about_what_exists(where: str, query: str) -> None:
    assert query.count("(") == query.count(")")
    bare = re.sub(r'"[^"]*"|\[\d+[smh]\]', "", query)
    names = set(re.findall(r"[a-zA-Z_]\w*", bare))
    used = {name for name in names if name.startswith("taskq_")}
    assert used, where
    assert used <= exposed()
    assert names - used - WORDS <= labels() | OWN_LABELS
    for aggregation in re.findall(r"sum(?: by \([^)]*\))? ?\((\w+)", query):
        assert aggregation == "max" or "instance" in query, "the sum over targets counts everything twice"


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])
    for name in (*metrics.COUNTERS, *metrics.HISTOGRAMS, *metrics.GAUGES):
        assert re.search(rf"\b{name}(_total|_bucket)?\b", shown) or name in ("taskq_chunks", "taskq_maps"), name


def test_values_of_labels_exist() -> None:
    """What queries select by must be what the code says: these words are nowhere but there."""
    code = " ".join(path.read_text() for path in source.files("taskq", "workers"))
    for where, query in queries():
        for label, _operator, values in re.findall(r'(\w+)(=|!=|=~|!~)"([^"]*)"', query):
            for value in values.split("|") if label != "queue" else ():
                assert f'"{value}"' in code, (where, label, value)


def test_the_dashboard() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    [variable] = dashboard()["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")


def test_the_scrape_configuration() -> None:
    configuration = read("prometheus/prometheus.yml")
    [job] = configuration["scrape_configs"]
    assert "metrics_path" not in job  # Prometheus's default is ours
    assert all(re.fullmatch(r"[\w.-]+:\d+", target) for one in job["static_configs"] for target in one["targets"])
    assert [(DEPLOY / "prometheus" / name).exists() for name in configuration["rule_files"]] == [True]


def test_what_prometheus_itself_says() -> None:
    places = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
    promtool = shutil.which("promtool", path=places)
    if promtool is None:
        pytest.skip("there is no promtool: deploy/prometheus by Prometheus itself. make promtool fetches it")
    command = [promtool, "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "alerts.yml" in told.stdout
    assert "rules found" in told.stdout


def all_of(name: str) -> dict[str, Any]:
    """The objects of a file in deploy/kubernetes, by kind."""
    text = (DEPLOY / "kubernetes" / name).read_text(encoding="utf-8")
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def test_the_deployment_and_its_scaling() -> None:
    deployment, scaled = read("kubernetes/worker.yaml"), read("kubernetes/scaledobject.yaml")
    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    spec = scaled["spec"]
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert spec["minReplicaCount"] == 0 < spec["maxReplicaCount"]
    assert "replicas" not in deployment["spec"], "each `kubectl apply` would undo what KEDA has done"
    by_work, by_what_runs = spec["triggers"]
    for trigger in (by_work, by_what_runs):
        assert trigger["type"] == "prometheus"
        assert {"serverAddress", "query", "threshold"} <= set(trigger["metadata"])
        assert all(isinstance(value, str) for value in trigger["metadata"].values())  # KEDA takes nothing else
        assert trigger["metadata"]["query"].endswith(" or vector(0)"), "where nothing is to do, there is no number"

    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    [container] = template["spec"]["containers"]
    known = {str(option.envvar) for option in cli.commands["worker"].params} | {"TASKQ_URL", signing.FILE}
    assert {variable["name"] for variable in container["env"]} <= known
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert template["spec"]["terminationGracePeriodSeconds"] > int(values["TASKQ_GRACE"] or 0)
    assert container["readinessProbe"]["exec"]["command"] == ["taskq", "health"]
    assert container["args"][0] in cli.commands
    # Never fewer workers than it takes for what runs; and that by itself never asks for more.
    assert by_what_runs["metadata"]["threshold"] == values["TASKQ_PROCESSES"]
    assert container["resources"]["limits"]["cpu"] == values["TASKQ_PROCESSES"]
    assert 'state="busy"' in by_what_runs["metadata"]["query"]
    prometheus_port = "prometheus.io/port"
    assert prometheus_port not in template["metadata"].get("annotations", {}), "each would show what all do"


def test_the_page_tells_of_work_while_there_is_no_worker() -> None:
    objects, policies = all_of("dashboard.yaml"), (DEPLOY / "kubernetes" / "networkpolicy.yaml").read_text()
    [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] in cli.commands
    known = {str(option.envvar) for option in cli.commands["dashboard"].params} | {"TASKQ_URL", signing.FILE}
    assert {variable["name"] for variable in container["env"]} <= known
    [port] = objects["Service"]["spec"]["ports"]
    assert port["targetPort"] == container["ports"][0]["name"]
    labels_of_pods = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"] == labels_of_pods
    of_worker, of_page = yaml.safe_load_all(policies)
    assert of_worker["spec"]["ingress"] == [], "nobody has to reach a worker"
    assert of_page["spec"]["podSelector"]["matchLabels"] == labels_of_pods
    for policy in (of_worker, of_page):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_of_workers_some_are_taken_at_a_time() -> None:
    worker, budget = read("kubernetes/worker.yaml"), read("kubernetes/poddisruptionbudget.yaml")
    assert budget["spec"]["selector"]["matchLabels"] == worker["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("name", ["worker.yaml", "dashboard.yaml"])
def test_the_pods_are_confined(name: str) -> None:
    spec = all_of(name)["Deployment"]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"--uid {spec['securityContext']['runAsUser']} " in (source.ROOT / "Dockerfile").read_text()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"cpu", "memory", "ephemeral-storage"} == set(container["resources"]["limits"])
    # What it must write to, and its secrets: Redis's URL, which holds the password, and the key.
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {"/tmp", "/home/taskq"} < set(mounted)  # noqa: S108
    values = {variable["name"]: variable for variable in container["env"]}
    assert "valueFrom" in values["TASKQ_URL"]
    assert not {"TASKQ_SECRET_KEY", "TASKQ_DASHBOARD_TOKEN", "TASKQ_DASHBOARD_NO_AUTH"} & set(values)
    folder, _, file = values[signing.FILE]["value"].rpartition("/")
    assert mounted[folder]["readOnly"] is True
    [volume] = [one for one in spec["volumes"] if one["name"] == mounted[folder]["name"]]
    assert file in [item["path"] for item in volume["secret"]["items"]]


def test_the_chart_as_helm_and_the_schemas_have_it() -> None:
    """Also that deploy/kubernetes is what the chart renders."""
    python = source.ROOT / ".venv-kubernetes" / "bin" / "python"
    if not (python.parent / "helm").exists():
        pytest.skip("there is no helm: the chart, and schemas of what it renders. make kubernetes fetches it")
    command = [python, source.ROOT / "scripts" / "kubernetes.py"]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("objects") >= 4


UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_units_are_confined(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    settings = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert settings["KillMode"] == "mixed", "SIGTERM is for the manager, which has its services drain"
    assert settings["NoNewPrivileges"] == settings["ProtectSystem"].replace("strict", "yes") == "yes"
    assert settings["CapabilityBoundingSet"] == ""
    assert not re.search(r"(SECRET_KEY|TOKEN|AUTH)=", text), "secrets are credentials, in no environment"
    command = settings["ExecStart"].split()
    assert command[1] in cli.commands
    if command[1] == "worker":
        grace = int(re.findall(r"TASKQ_GRACE=(\d+)", text)[0])
        assert int(settings["TimeoutStopSec"]) > grace


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_what_systemd_says_of_the_units(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze: the units in deploy/systemd by systemd itself")
    here = tmp_path / unit.name
    here.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    verified = subprocess.run([analyze, "verify", here], check=False, capture_output=True, text=True)
    assert [line for line in verified.stderr.splitlines() if unit.name in line] == []
    command = [analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", here]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout
    assert "OK" in told.stdout


COMPOSE = yaml.safe_load((source.ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["redis", "worker", "dashboard", "shell"])
def test_the_containers_are_confined(name: str) -> None:
    assert set(COMPOSE["services"]) == {"redis", "worker", "dashboard", "shell"}
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    for port in service.get("ports", []):  # there are passwords for those who just try it
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port)
    for mounted in service["volumes"]:
        assert mounted.endswith(":ro") or mounted == "redis:/data"


def test_the_default_password_is_for_loopback_only() -> None:
    """It stands where the server is on the project's own network and published on loopback, and nowhere else."""
    [default] = set(re.findall(r"TASKQ_REDIS_PASSWORD:-([^}]+)\}", json.dumps(COMPOSE)))
    for path in source.ROOT.rglob("*"):
        inside = path.relative_to(source.ROOT).parts
        if path.suffix in (".yml", ".yaml", ".py") and not any(part.startswith(".") for part in inside):
            assert default not in path.read_text(encoding="utf-8") or path.name == "docker-compose.yml", path


def test_who_reaches_the_server_is_vouched_for_as_long_as_only_this_machine_does() -> None:
    assert {port.partition(":")[0] for port in COMPOSE["services"]["redis"]["ports"]} == {"127.0.0.1"}
    for name in ("worker", "dashboard", "shell"):
        assert COMPOSE["services"][name]["environment"]["TASKQ_PRIVATE_REDIS"] == 1


def test_the_page_says_how_the_host_reaches_it() -> None:
    environment = json.dumps(COMPOSE)
    [password] = set(re.findall(r"TASKQ_REDIS_PASSWORD:-([^}]+)\}", environment))
    [port] = re.findall(r"TASKQ_REDIS_PORT:-(\d+)\}", environment)
    [page] = re.findall(r"TASKQ_DASHBOARD_PORT:-(\d+)\}", environment)
    told = (source.ROOT / "deploy/README.md").read_text(encoding="utf-8")
    assert f"TASKQ_URL=redis://taskq:{password}@localhost:{port}/0" in told
    assert f"<http://localhost:{page}>" in told


def test_compose_warns_of_no_variable() -> None:
    """It does with every command, of each that is not set and has no default."""
    text = (source.ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", text)) == {"COMPOSE_PROJECT_NAME"}  # which it sets itself


def test_packages_and_reloading_are_settings_of_the_compose_file() -> None:
    worker = COMPOSE["services"]["worker"]
    assert worker["build"]["args"]["PACKAGES"] == "${TASKQ_PACKAGES:-}"
    assert worker["environment"].get("TASKQ_RELOAD", "") is None, "passed on if it is set"
    dockerfile = (source.ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert 'ARG PACKAGES=""' in dockerfile
    assert "pip install $PACKAGES" in dockerfile


def test_the_key_is_a_secret_of_the_containers() -> None:
    overlay = read("compose/secret-key.yml")
    assert set(overlay["services"]) == {"worker", "dashboard", "shell"}
    [secret] = overlay["secrets"]
    for service in overlay["services"].values():
        assert service == {"environment": {signing.FILE: f"/run/secrets/{secret}"}, "secrets": [secret]}
    # Compose copies a secret from anywhere else into the container, whose root is read-only.
    assert list(overlay["secrets"][secret]) == ["file"]


def test_the_documented_rights_are_those_of_the_compose_file() -> None:
    rules = r"~rq:\* ~taskq:\* &rq:\* &taskq:\* (.+)"
    [real] = re.findall(rules, COMPOSE["services"]["redis"]["environment"]["REDIS_CONF"])
    [told] = re.findall(rules, (source.ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    assert told == real
    commands = {"scan", "randomkey", "select", "move", "script|flush", "script|kill"}
    assert {f"-{command}" for command in commands} <= set(real.split())
