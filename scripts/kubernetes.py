"""Renders the chart in deploy/helm and checks what comes of it, and deploy/kubernetes: ``make kubernetes``.

It runs in an environment of its own (``.venv-kubernetes``), where helm and the schemas are: Kubernetes's, strict,
of several versions, and KEDA's. ``--write`` renders deploy/kubernetes anew: the chart with its default values.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "taskq"
PLAIN = ROOT / "deploy" / "kubernetes"
HELM = Path(sys.executable).parent / "helm"
VERSIONS = ("1.27", "1.30", "1.33", "1.37")
HEAD = "# The chart in deploy/helm with its default values: make kubernetes ARGS=--write\n"
VARIANTS: dict[str, list[str]] = {
    "the default": [],
    "without KEDA": ["--set", "scaling.enabled=false,worker.replicas=3"],
    "all that can be set": [
        "--set", "worker.queues={high,low},worker.processes=8,worker.grace=60,scaling.chunks=1",
        "--set", "worker.environment.TASKQ_PRELOAD=numpy",
        "--set", "imagePullSecrets[0].name=registry,dashboard.allowHosts={jobs.example}",
        "--set", "worker.nodeSelector.disk=ssd,worker.tolerations[0].operator=Exists,disruption.maxUnavailable=1",
        "--set", "worker.egress[0].ports[0].port=443,redisPort=6380,scaling.least=2",
    ],
}  # fmt: skip
REFUSED = {
    "an image without a tag": "image=taskq", "no queue": "worker.queues={}", "no process": "worker.processes=0",
    "a word that there is not": "worker.proceses=1", "a queue with a blank": "worker.queues={a b}",
}  # fmt: skip


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)


def rendered(*arguments: str) -> str:
    done = helm("template", "taskq", str(CHART), *arguments)
    if done.returncode:
        sys.exit(f"the chart is not rendered with {arguments}: {done.stderr}")
    return done.stdout


def plain(name: str) -> str:
    """One file of deploy/kubernetes, as it is to be."""
    text = rendered("--show-only", f"templates/{name}")
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith("# Source:"))
    return HEAD + "".join(lines)


def problems(document: dict[str, Any]) -> Iterator[str]:
    """What the schemas say against one object."""
    if document["apiVersion"].startswith("keda.sh/"):
        try:
            keda.ScaledObject.model_validate(document)
        except ValueError as error:
            yield str(error)
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"Kubernetes {version}: {error}"


def check(where: str, text: str) -> int:
    """Check all objects in a text; how many there are."""
    documents = [one for one in yaml.safe_load_all(text) if one]
    for one in documents:
        for problem in problems(one):
            sys.exit(f"{where}: the {one['kind']} {one['metadata']['name']}: {problem}")
    return len(documents)


def check_that_it_would_notice() -> None:
    """A check that lets everything pass shows nothing."""
    documents = {one["kind"]: one for one in yaml.safe_load_all(rendered()) if one}
    documents["Deployment"]["spec"]["template"]["spec"]["containers"][0]["securtyContext"] = {}
    documents["ScaledObject"]["spec"]["minReplicaCount"] = "none"
    for kind in ("Deployment", "ScaledObject"):
        if not list(problems(documents[kind])):
            sys.exit(f"a {kind} that is wrong is not noticed")


def main() -> None:
    names = sorted(path.name for path in (CHART / "templates").glob("*.yaml"))
    if "--write" in sys.argv[1:]:
        for name in names:
            (PLAIN / name).write_text(plain(name), encoding="utf-8")
    linted = helm("lint", "--strict", str(CHART))
    if linted.returncode:
        sys.exit(linted.stdout + linted.stderr)
    for name, arguments in VARIANTS.items():
        print(f"the chart, {name}: {check(name, rendered(*arguments))} objects")
    for name in names:
        if (PLAIN / name).read_text(encoding="utf-8") != plain(name):
            sys.exit(f"deploy/kubernetes/{name} is not what the chart says: make kubernetes ARGS=--write")
    print(f"deploy/kubernetes: {sum(check(name, plain(name)) for name in names)} objects, which are the chart's")
    for what, value in REFUSED.items():
        if not helm("template", "taskq", str(CHART), "--set", value).returncode:
            sys.exit(f"{what} is accepted: {value}")
    check_that_it_would_notice()
    print(f"{len(REFUSED)} wrong values refused; all objects fit Kubernetes {', '.join(VERSIONS)}, and KEDA")


if __name__ == "__main__":
    main()
