"""The files of deploy/: they parse, agree with each other, with the Dockerfile, the program and the pages."""

from __future__ import annotations

import configparser
import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from typer.testing import CliRunner

from twelve.cli import app as program
from twelve.predictor.measured import digest_of
from twelve.web.access import METRICS_TOKEN, check_token
from twelve.web.limits import Limits
from twelve.web.problems import CODES
from twelve.web.replies import Problem
from twelve.web.server import ThreadLost

HOME = Path(__file__).parents[2]
DEPLOY = HOME / "deploy"
MANIFESTS = DEPLOY / "kubernetes"
PAGE = (HOME / "docs" / "kubernetes.md").read_text(encoding="utf-8")
DEPLOY_PAGE = (HOME / "docs" / "deploy.md").read_text(encoding="utf-8")
OPERATE_PAGE = (HOME / "docs" / "operate.md").read_text(encoding="utf-8")
COMPONENTS = ("volume", "index", "route", "path", "monitor")
SEPARATE = {"volume/copy.yaml"}
"""Manifests that no kustomization.yaml names."""


def documents(path: Path) -> list[Any]:
    return [*yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def one(path: str) -> Any:
    """The only document of a file of deploy/."""
    (found,) = documents(DEPLOY / path)
    return found


def patched(manifest: Any, operations: list[Any]) -> Any:
    """The manifest after a JSON patch; fails where the place of an addition does not exist."""
    changed = deepcopy(manifest)
    for operation in operations:
        assert operation.keys() == {"op", "path", "value"} and operation["op"] == "add"
        *names, last = operation["path"].removeprefix("/").split("/")
        place = changed
        for name in names:
            place = place[int(name)] if isinstance(place, list) else place[name]
        if isinstance(place, list):
            assert last == "-"
            place.append(deepcopy(operation["value"]))
        else:
            assert last not in place
            place[last] = deepcopy(operation["value"])
    return changed


def built(*components: str) -> dict[str, Any]:
    """kind -> manifest of base with these components."""
    found = [
        document
        for name in one("kubernetes/base/kustomization.yaml")["resources"]
        for document in documents(MANIFESTS / "base" / name)
    ]
    for component in components:
        about = one(f"kubernetes/{component}/kustomization.yaml")
        assert about["kind"] == "Component"
        found += [
            document for name in about.get("resources", []) for document in documents(MANIFESTS / component / name)
        ]
        for patch in about.get("patches", []):
            wanted = (patch["target"]["kind"], patch["target"]["name"])
            (place,) = [k for k, each in enumerate(found) if (each["kind"], each["metadata"]["name"]) == wanted]
            found[place] = patched(found[place], one(f"kubernetes/{component}/{patch['path']}"))
    kinds = {each["kind"]: each for each in found}
    assert len(kinds) == len(found)
    return kinds


def started() -> list[str]:
    """What the Dockerfile starts."""
    (words,) = re.findall(r"^ENTRYPOINT (.+)$", (HOME / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    return list(json.loads(words))


def understood(words: list[str], monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """All options are understood, and there is a token; only the model is missing."""
    monkeypatch.setenv("TWELVE_TOKEN", "a-secret-of-16-characters")
    assert f"{model}: no such folder" in str(CliRunner().invoke(program, words[1:]).exception)


def test_every_file_parses_and_is_used_and_linked() -> None:
    used = {"base", "example"}
    for path in sorted(MANIFESTS.rglob("kustomization.yaml")):
        about = one(path.relative_to(DEPLOY).as_posix())
        named = [*about.get("resources", []), *(patch["path"] for patch in about.get("patches", []) if "path" in patch)]
        used |= {(path.parent / name).resolve().relative_to(MANIFESTS).as_posix() for name in [*named, path.name]}
    found = {path.relative_to(MANIFESTS).as_posix() for path in MANIFESTS.rglob("*") if path.is_file()}
    assert found == (used - {"base", "example"}) | SEPARATE
    for path in DEPLOY.rglob("*.yaml"):
        assert all(isinstance(each, dict | list) for each in documents(path)), path
    text = PAGE + (HOME / "docs" / "deploy.md").read_text(encoding="utf-8")
    linked = {*re.findall(r"\]\(\.\./deploy/([^)]+)\)", text)}
    files = {path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("*") if path.is_file()}
    inner = {name for name in files if name.endswith("/kustomization.yaml") and "/example/" not in name}
    assert linked == files - inner


def test_a_patch_of_what_does_not_exist_is_noticed() -> None:
    with pytest.raises(KeyError):
        patched({"spec": {}}, [{"op": "add", "path": "/spec/template/volumes", "value": []}])
    with pytest.raises(AssertionError):
        patched({"spec": {"strategy": {}}}, [{"op": "add", "path": "/spec/strategy", "value": {}}])
    with pytest.raises(KeyError):
        built("index")  # the volume has the mounts that it adds to


def test_names_labels_and_ports_agree() -> None:
    manifests = built("volume", "index", "route", "monitor")
    deployment = manifests["Deployment"]
    pods = deployment["spec"]["template"]
    (container,) = pods["spec"]["containers"]
    labels, port = pods["metadata"]["labels"], container["ports"][0]["name"]
    selectors = {
        "Deployment": deployment["spec"]["selector"]["matchLabels"],
        "Service": manifests["Service"]["spec"]["selector"],
        "NetworkPolicy": manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        "PodDisruptionBudget": manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "PodMonitor": manifests["PodMonitor"]["spec"]["selector"]["matchLabels"],
        "spread": pods["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    }
    assert selectors == dict.fromkeys(selectors, labels)
    (rule,) = manifests["NetworkPolicy"]["spec"]["ingress"]
    assert rule == {"ports": [{"port": port}]} and manifests["NetworkPolicy"]["spec"]["egress"] == []
    assert manifests["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert {each["metadata"]["name"] for each in manifests.values()} == {deployment["metadata"]["name"]}


def test_the_manifest_of_kubernetes_starts_the_container_of_the_dockerfile(monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = built()
    deployment, service = manifests["Deployment"], manifests["Service"]
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    token, _, host, namespace, address = container["env"]
    assert token["name"] == "TWELVE_TOKEN"
    assert address["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert namespace["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    (values,) = one("kubernetes/base/kustomization.yaml")["configMapGenerator"]
    kept = dict(each.split("=") for each in values["literals"])
    key = host["valueFrom"]["configMapKeyRef"]
    assert key["name"] == values["name"] and {*kept} == {key["key"]}
    known = {host["name"]: kept[key["key"]], namespace["name"]: "default", address["name"]: "10.0.0.7"}
    given = [re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], word) for word in container["args"]]
    words = [*started(), *given]
    assert "--log-json" in given  # a record of requests, which nginx does not keep
    assert words.count("--name=10.0.0.7") == 1 and f"--name={kept['host']}" in given and "$" not in " ".join(words)
    understood(words, monkeypatch, "/model")
    assert [each["containerPort"] for each in container["ports"]] == [int(words[words.index("--port") + 1])]
    (own,) = re.findall(r"```dockerfile\n(.*?)```", PAGE, flags=re.S)
    assert own.split() == ["FROM", "twelve", "COPY", "--chmod=755", words[2][1:], words[2]]
    (image,) = one("kubernetes/example/kustomization.yaml")["images"]
    assert image["name"] == container["image"]
    pushed = re.findall("^docker build -t (.+) -f model.Dockerfile .$", PAGE, flags=re.M)
    assert pushed == [f"{image['newName']}:{image['newTag']}"] == re.findall("^docker push (.+)$", PAGE, flags=re.M)
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["path"] for probe in probes} == {"/health"}
    ports = {probe["port"] for probe in probes}
    assert ports == {service["spec"]["ports"][0]["targetPort"]} == {container["ports"][0]["name"]}
    assert template["spec"]["automountServiceAccountToken"] is False
    name = service["metadata"]["name"]
    names = (name, *(f"{name}.default{rest}" for rest in ("", ".svc", ".svc.cluster.local")))
    assert {f"--name={each}" for each in names} <= {*given}
    assert service["spec"]["sessionAffinity"] == "ClientIP"  # a scene id is valid in one pod
    assert "strategy" not in deployment["spec"] and "volumes" not in template["spec"]
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert (
        command == "sleep" and template["spec"]["terminationGracePeriodSeconds"] > int(seconds) + Limits().stop_seconds
    )
    (user,) = re.findall("^USER (.+)$", dockerfile, flags=re.M)
    assert template["spec"]["securityContext"]["runAsNonRoot"] and int(user) > 0  # a name would be refused
    assert f"--uid {user} " in dockerfile
    (minutes,) = re.findall(r"^HEALTHCHECK --start-period=(\d+)m ", dockerfile, flags=re.M)
    startup = container["startupProbe"]
    assert 60 * int(minutes) == startup["periodSeconds"] * startup["failureThreshold"]


def test_the_example_names_what_the_folders_have() -> None:
    example = one("kubernetes/example/kustomization.yaml")
    assert example["resources"] == ["../base"]
    (merged,), (own,) = example["configMapGenerator"], one("kubernetes/base/kustomization.yaml")["configMapGenerator"]
    assert merged == own | {"behavior": "merge"}
    (replacement,) = example["replacements"]
    key = own["literals"][0].partition("=")[0]
    assert replacement["source"] == {"kind": "ConfigMap", "name": own["name"], "fieldPath": f"data.{key}"}
    (target,) = replacement["targets"]
    for component in ("route", "path"):
        route = built(component)["HTTPRoute"]
        assert target["select"] == {"kind": "HTTPRoute", "name": route["metadata"]["name"]}
        assert target["fieldPaths"] == ["spec.hostnames.0"] and len(route["spec"]["hostnames"]) == 1
    text = (MANIFESTS / "example" / "kustomization.yaml").read_text(encoding="utf-8")
    assert re.findall(r"\.\./(\w+)", text) == ["base", *COMPONENTS]
    assert {path.name for path in MANIFESTS.iterdir()} == {"base", "example", *COMPONENTS}
    gateway, *_ = example["patches"]
    (operation,) = yaml.safe_load(gateway["patch"])
    for component in ("route", "path"):
        route = built(component)["HTTPRoute"]
        assert gateway["target"] == {"kind": "HTTPRoute", "name": route["metadata"]["name"]}
        parents = {"op": "replace", "path": "/spec/parentRefs", "value": route["spec"]["parentRefs"]}
        assert operation == parents


def own_folder(place: Path) -> Path:
    """A folder beside a copy of deploy/, with the file that the command of the page makes from the example."""
    shutil.copytree(DEPLOY, place / "twelve" / "deploy")
    (place / "own").mkdir()
    (command,) = re.findall(r"^manifests=.*\nsed .*$", PAGE, flags=re.M)
    subprocess.run(["sh", "-c", command], cwd=place / "own", check=True)
    return place / "own"


def test_ones_own_folder_names_the_manifests_of_the_clone(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    text = (folder / "kustomization.yaml").read_text()
    paths = re.findall(r"\.\./[\w/]+", text)
    base = "../twelve/deploy/kubernetes/base"
    assert yaml.safe_load(text)["resources"] == [base]
    assert f'`"https://.../twelve//{base.removeprefix("../twelve/")}?ref=TAG"`' in PAGE
    assert len(paths) == 1 + len(COMPONENTS) and all((folder / path / "kustomization.yaml").is_file() for path in paths)


def with_password() -> str:
    """The example with its lines for options, and for a registry that needs a password."""
    return re.sub("^# ", "", (MANIFESTS / "example" / "kustomization.yaml").read_text(encoding="utf-8"), flags=re.M)


def test_a_registry_can_need_a_password() -> None:
    _, patch = yaml.safe_load(with_password())["patches"]
    deployment = built()["Deployment"]
    assert patch["target"] == {"kind": "Deployment", "name": deployment["metadata"]["name"]}
    changed = patched(deployment, yaml.safe_load(patch["patch"]))["spec"]["template"]["spec"]
    assert changed["containers"][0]["args"][-1].startswith("--max-waiting=")
    secrets = changed["imagePullSecrets"]
    text = (MANIFESTS / "volume" / "copy.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text.replace("# imagePullSecrets", "imagePullSecrets"))["spec"]["imagePullSecrets"] == secrets
    assert f"kubectl create secret docker-registry {secrets[0]['name']} " in " ".join(PAGE.split())


def test_the_routes_of_kubernetes_lead_to_its_service() -> None:
    whole, below = built("route")["HTTPRoute"], built("path")["HTTPRoute"]
    service = built()["Service"]
    (own,) = one("kubernetes/base/kustomization.yaml")["configMapGenerator"]
    for route in (whole, below):
        assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
        assert own["literals"] == [f"host={host}" for host in route["spec"]["hostnames"]]
    (rule,), (redirected, rewritten) = whole["spec"]["rules"], below["spec"]["rules"]
    for each in (rule, rewritten):
        (backend,) = each["backendRefs"]
        assert backend == {"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}
        assert int(each["timeouts"]["request"].removesuffix("s")) > Limits().body_seconds + Limits().answer_seconds
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    ((exact,), (other,)) = redirected["matches"], rewritten["matches"]
    assert other["path"] == {"type": "PathPrefix", "value": exact["path"]["value"] + "/"}
    rewrite, header = rewritten["filters"]
    assert rewrite["urlRewrite"]["path"] == {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
    assert header["requestHeaderModifier"]["set"] == [{"name": "X-Forwarded-Prefix", "value": exact["path"]["value"]}]
    assert f"Allow {-(-Limits().max_body // 2**20)} MiB" in PAGE


def test_the_volume_of_kubernetes_is_filled_and_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = built()["Deployment"]
    with_volume, both = (built(*names)["Deployment"] for names in (["volume"], ["volume", "index"]))
    claim, pod = built("volume")["PersistentVolumeClaim"], one("kubernetes/volume/copy.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    for deployment in (with_volume, both):
        assert deployment["spec"].pop("strategy") == {"type": "Recreate"}
    assert both["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["readOnly"]
    for spec in (each["spec"]["template"]["spec"] for each in (with_volume, both)):
        (volume,), (container,) = spec["volumes"], spec["containers"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"]}
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (image,) = one("kubernetes/example/kustomization.yaml")["images"]
    image = f"{image['newName']}:{image['newTag']}"
    assert pod["spec"]["containers"][0]["image"] == image
    some, all_of = (each["spec"]["template"]["spec"].pop("volumes") for each in (with_volume, both))
    assert some == all_of
    parts = [each["spec"]["template"]["spec"]["containers"][0] for each in (with_volume, both)]
    some, all_of = ({each["mountPath"]: each["subPath"] for each in part.pop("volumeMounts")} for part in parts)
    assert (some, all_of) == ({"/model": "model"}, {"/model": "model", "/library": "library"})
    option = parts[1]["args"].pop()
    assert option == "--index=/library/vectors" and plain == with_volume == both  # nothing else differs
    understood([*started(), option], monkeypatch, "/model")
    place = pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]
    copied = re.findall(rf"^kubectl cp \S+ {pod['metadata']['name']}:{place}/(\w+)$", PAGE, flags=re.M)
    assert copied == [*all_of.values(), "new"] and f"--index {place}/library/vectors\n" in PAGE
    assert f'"mv {place}/model {place}/old && mv {place}/new {place}/model"' in PAGE
    labels = plain["spec"]["template"]["metadata"]["labels"]
    (term,) = pod["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["labelSelector"] == {"matchLabels": labels} != pod["metadata"].get("labels")
    assert f"`docker tag twelve {image}`" in " ".join(PAGE.split())
    applied = " ".join(re.findall(r"^kubectl apply (.*)$", PAGE, flags=re.M)).split()
    assert [word for word in applied if word not in ("-f", "-k")] == [
        ".",
        "../twelve/deploy/kubernetes/volume/claim.yaml",
        *["copy.yaml"] * 2,
    ]
    assert "Copy [copy.yaml](../deploy/kubernetes/volume/copy.yaml)" in PAGE


def test_prometheus_in_kubernetes_reads_the_pods_with_the_token(tmp_path: Path) -> None:
    manifests = built("monitor")
    monitor, deployment = manifests["PodMonitor"], manifests["Deployment"]
    template, (endpoint,) = deployment["spec"]["template"], monitor["spec"]["podMetricsEndpoints"]
    container = template["spec"]["containers"][0]
    labels = template["metadata"]["labels"]
    used = endpoint["authorization"]["credentials"]
    stored = {each["name"]: each["valueFrom"].get("secretKeyRef") for each in container["env"]}
    kept = stored["TWELVE_TOKEN"]
    assert stored["TWELVE_METRICS_TOKEN"] == used and used["name"] == kept["name"] and used["key"] != kept["key"]
    pages = PAGE + DEPLOY_PAGE + OPERATE_PAGE
    commands = re.findall(rf"^ *kubectl create secret generic {kept['name']} (\S+)", pages, flags=re.M)
    assert commands == ["--from-env-file=twelve.env"] * 2  # ps and the history of a shell show what a command contains
    assert not re.search("--from-literal|--docker-password", pages)
    (make,) = re.findall(r"^\(umask 077; python3 -c \\\n  .+ > twelve\.env\)$", PAGE, flags=re.M)
    masks = subprocess.run(
        ["sh", "-c", f"umask\n{make}\numask"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert masks[0] == masks[1] != "0077"  # the shell keeps its own for the commands after it
    made = tmp_path / "twelve.env"
    assert made.stat().st_mode & 0o777 == 0o600
    made_as = dict(line.split("=", 1) for line in made.read_text().splitlines())
    assert {*made_as} == {used["key"], kept["key"]} and made_as[kept["key"]] != made_as[used["key"]]
    for token in made_as.values():
        check_token(token)
        assert " " not in token
    assert f"`{kept['key']}=NEW OLD`" in PAGE and f"the line `{used['key']}=` stays" in PAGE
    restart = f"kubectl rollout restart deployment {deployment['metadata']['name']}\n"
    assert f"    {restart}" in OPERATE_PAGE and f"\n{restart}" in PAGE  # with a new token, and with a new model
    assert endpoint["port"] == container["ports"][0]["name"] and endpoint["path"] == "/metrics"
    alerts = [rule["expr"] for group in one("prometheus/alerts.yaml")["groups"] for rule in group["rules"]]
    up = f'up{{job="{labels[monitor["spec"]["jobLabel"]]}"}}'
    assert f"{up} == 0 or absent({up})" in alerts
    counted = [expr for expr in alerts if "twelve_request" in expr]
    assert len(counted) == 2
    for expr in counted:  # probes are no requests of users
        assert expr.count("[5m]") == expr.count('{job="twelve",endpoint=~"/api/.*"')
        assert expr.count("[5m]") == expr.count("sum") == expr.count("sum by (instance")  # one process of several
    (job,) = one("prometheus/scrape.yaml")["scrape_configs"]
    assert f'job="{job["job_name"]}"' in up


def test_the_page_names_the_alerts_of_the_file() -> None:
    text = OPERATE_PAGE.partition("\n## Metrics")[2]
    rules = one("prometheus/alerts.yaml")["groups"][0]["rules"]
    assert re.findall(r"`(Twelve\w+)`", text) == [rule["alert"] for rule in rules]
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"} and all(rule["annotations"].values())
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
    assert rules[-1]["expr"] == f'twelve_waiting_requests{{job="twelve"}} > {Limits().max_waiting * 3 // 4}'


def test_the_token_of_docker_is_in_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    text = (HOME / "docs" / "deploy.md").read_text(encoding="utf-8")
    docker = text.partition("## Deploy with Docker\n")[2]
    (make, file, read), _ = re.findall(r"^(\(umask .+ > (\S+)\))\n(.+)$", docker, flags=re.M)
    assert f"\ndocker run -d --restart unless-stopped --env-file {file} " in text
    assert f"/{file}" in (HOME / ".gitignore").read_text(encoding="utf-8").splitlines()
    ran = f"{make} && {read} && python3 -c 'import os; print(os.environ[\"TWELVE_TOKEN\"], end=str())'"
    token = subprocess.run(["sh", "-c", ran], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    check_token(token)
    assert (tmp_path / file).read_text() == f"TWELVE_TOKEN={token}\n"
    assert (tmp_path / file).stat().st_mode & 0o777 == 0o600


def test_the_command_of_docker_starts_the_service_and_logs_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (HOME / "docs" / "deploy.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^docker run (.*?[^\\])\n", text, flags=re.M | re.S)
    (host,) = re.findall(r"^HOST=(\S+) ", text, flags=re.M)
    words = shlex.split(command.replace("\\\n", " ").replace("$HOST", host))
    image = max(place for place, word in enumerate(words) if word == "twelve")  # the container has this name too
    given = words[image + 1 :]
    (name,) = (word for before, word in pairwise(words[:image]) if before == "--name")
    told = {*re.findall(r"docker\s+(?:logs(?: -f| --tail 20)?|stop|rm|start) ([\w-]+)", text)}
    assert told == {name}  # the page's further commands name this container
    assert "--log-json" in given and "--log-opt" in words[:image]
    understood([*started(), *given], monkeypatch, "/model")


@pytest.mark.parametrize("failed", [False, True])
def test_a_failed_start_prints_the_log_of_docker(failed: bool) -> None:
    (wait,) = re.findall(r"^curl .+/health.*$", DEPLOY_PAGE.partition("\n### ")[0], flags=re.M)
    stubs = f'curl() {{ return {22 * failed}; }}; docker() {{ echo "$@"; }}; '
    ran = subprocess.run(["bash", "-c", stubs + wait], capture_output=True, text=True, check=True)
    assert ran.stdout == ("logs --tail 20 twelve\n" if failed else "")


def test_compose_starts_the_container_of_the_command_of_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    (values,) = re.findall(r"^```ini\n(.*?)```", DEPLOY_PAGE, flags=re.M | re.S)
    given = dict(line.split("=", 1) for line in values.splitlines())
    text = (DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8")
    asked = re.findall(r"\$\{(\w+):\?[^}]* to (\S+)\}", text)
    assert [name for name, _ in asked] == [*given] and {file for _, file in asked} == {"deploy/compose/.env"}
    assert "`deploy/compose/.env`" in DEPLOY_PAGE  # beside compose.yaml, where Compose reads it
    assert "/deploy/compose/.env" in (HOME / ".gitignore").read_text(encoding="utf-8").splitlines()
    about = yaml.safe_load(re.sub(r"\$\{(\w+):[^}]+\}", lambda found: given[found[1]], text))
    (service,) = about["services"].values()
    (command,) = re.findall(r"^docker run (.*?[^\\])\n", DEPLOY_PAGE, flags=re.M | re.S)
    (host,) = re.findall(r"^HOST=(\S+) ", DEPLOY_PAGE, flags=re.M)
    (model,) = re.findall(r'^MODEL="(\S+)" ', DEPLOY_PAGE, flags=re.M)
    written = command.replace("\\\n", " ").replace("$HOST", host).replace("$MODEL", model)
    words = shlex.split(written.replace("$PWD", "../.."))
    options = dict(pairwise(words))
    logs = service["logging"]["options"]
    assert [f"{key}={value}" for key, value in logs.items()] == [
        value for option, value in pairwise(words) if option == "--log-opt"
    ]
    assert service["restart"] == options["--restart"] and service["ports"] == [options["-p"]]
    assert service["volumes"] == [options["-v"]] and service["mem_limit"] == options["--memory"]
    assert service["stop_grace_period"] == f"{options['--stop-timeout']}s" and int(options["--stop-timeout"]) > 30
    assert service["image"] == service["container_name"] == "twelve"
    assert [*service["command"]] == words[-3:]
    understood([*started(), *service["command"]], monkeypatch, "/model")
    (container,) = built()["Deployment"]["spec"]["template"]["spec"]["containers"]
    secured = container["securityContext"]
    assert service["read_only"] == secured["readOnlyRootFilesystem"] == ("--read-only" in words)
    assert service["cap_drop"] == secured["capabilities"]["drop"] == ["ALL"] and "--cap-drop=ALL" in words
    assert service["security_opt"] == [f"{options['--security-opt']}:true"] == ["no-new-privileges:true"]
    assert secured["allowPrivilegeEscalation"] is False
    assert str(service["pids_limit"]) == options["--pids-limit"]
    assert service["mem_limit"].upper() == container["resources"]["limits"]["memory"]
    ((secret, where),) = about["secrets"].items()
    assert service["secrets"] == [secret]
    assert service["environment"] == {"TWELVE_TOKEN_FILE": f"/run/secrets/{secret}"}
    assert (DEPLOY / "compose" / where["file"]).resolve() == HOME / "twelve.token"
    (user,) = re.findall(r"^USER (\d+)$", (HOME / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    assert f"| sudo install -o {user} -m 400 /dev/stdin twelve.token\n" in DEPLOY_PAGE
    assert (DEPLOY / "compose" / service["build"]).resolve() == HOME
    assert "healthcheck" not in service and "\nHEALTHCHECK " in (HOME / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("own", [False, True])
def test_the_host_name_and_its_certificate_are_written_into_the_configuration_of_nginx(own: bool) -> None:
    text = (HOME / "docs" / "deploy.md").read_text(encoding="utf-8")
    (edit,) = re.findall(r"^(sed -e .*?) \| sudo tee /etc/nginx/conf\.d/twelve\.conf", text, flags=re.M | re.S)
    folder = "/etc/letsencrypt/live/a.example.com"
    files = ("/etc/ssl/our.pem", "/etc/ssl/our.key") if own else (f"{folder}/fullchain.pem", f"{folder}/privkey.pem")
    given = dict(zip(("CERT", "KEY"), files if own else ("", ""), strict=True))
    made = subprocess.run(
        ["sh", "-c", edit], cwd=HOME, env={"HOST": "a.example.com", **given, "PATH": "/usr/bin:/bin"}, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    usual = (HOME / "deploy" / "nginx" / "twelve.conf").read_text(encoding="utf-8")
    changed = [new.split() for new, old in zip(made.splitlines(), usual.splitlines(), strict=True) if new != old]
    name = ["server_name", "a.example.com;"]
    certificate = ["ssl_certificate", f"{files[0]};"], ["ssl_certificate_key", f"{files[1]};"]
    assert changed == [name, name, *certificate] and "images.example.org" not in made


def test_the_metrics_token_is_added_to_the_file_of_the_token(tmp_path: Path) -> None:
    text = OPERATE_PAGE
    ((make, file),) = re.findall(r"^(\(umask .+ >> (\S+)\))$", text, flags=re.M)
    (tmp_path / file).write_text("TWELVE_TOKEN=a-secret-of-16-characters\n")
    subprocess.run(["sh", "-c", make], cwd=tmp_path, check=True)
    first, second = (tmp_path / file).read_text().splitlines()
    assert first == "TWELVE_TOKEN=a-secret-of-16-characters"
    name, _, token = second.partition("=")
    assert name == METRICS_TOKEN
    check_token(token)
    (job,) = one("prometheus/scrape.yaml")["scrape_configs"]
    assert f"`{job['authorization']['credentials_file']}`" in text


@pytest.mark.parametrize("key", ["TWELVE_TOKEN", "token"])
def test_the_steps_replace_a_token(key: str, tmp_path: Path) -> None:
    steps = OPERATE_PAGE.partition("\n## Replace the token\n")[2].partition("\n## ")[0]
    assert re.findall(r"^(\d)\. ", steps, flags=re.M) == [*"12345"]
    commands = re.findall(rf"^ +(.*(?:\^|\()({key})=.* (\S*twelve\.env))$", steps, flags=re.M)
    wanted = ["twelve.env", "/etc/twelve.env"] if key == "TWELVE_TOKEN" else ["twelve.env"]
    assert [file for _, _, file in commands] == wanted * 2
    old, file = "a-secret-of-16-characters", tmp_path / "twelve.env"
    for name in wanted:
        file.write_text(f"{key}={old}\nmetrics={old}\n")
        file.chmod(0o600)
        add, remove = (command.replace(name, str(file)) for command, _, given in commands if given == name)
        subprocess.run(["bash", "-c", add], check=True)
        both, other = file.read_text().splitlines()
        assert re.fullmatch(rf"{key}=[^ ]{{16,}} {old}", both) and other == f"metrics={old}"
        check_token(both.partition("=")[2])
        subprocess.run(["bash", "-c", remove], check=True)
        assert file.read_text() == f"{both.partition(' ')[0]}\nmetrics={old}\n"
        assert file.stat().st_mode & 0o777 == 0o600


def test_the_commands_of_systemd_install_the_unit(tmp_path: Path) -> None:
    text = DEPLOY_PAGE.partition("\n## Deploy with systemd\n")[2]
    (commands,) = re.findall(r"```bash\n(.*?)```", text.partition("\n## ")[0], flags=re.S)
    (tmp_path / "etc" / "systemd" / "system").mkdir(parents=True)
    (tmp_path / "opt").mkdir()
    own = re.sub(r"(?<=[ >])/(?=etc|opt)", f"{tmp_path}/", commands).replace("HOST=images", "HOST=photographs")
    subprocess.run(["bash", "-ec", f'systemctl() {{ echo "$@" >> {tmp_path}/ran; }}\n{own}'], cwd=HOME, check=True)
    assert (tmp_path / "ran").read_text() == "daemon-reload\nenable --now twelve\n"
    usual = (DEPLOY / "systemd" / "twelve.service").read_text(encoding="utf-8")
    made = (tmp_path / "etc" / "systemd" / "system" / "twelve.service").read_text()
    assert made == usual.replace("images.example.org", "photographs.example.org") != usual
    file = tmp_path / "etc" / "twelve.env"
    name, _, token = file.read_text().removesuffix("\n").partition("=")
    check_token(token)
    assert name == "TWELVE_TOKEN" and file.stat().st_mode & 0o777 == 0o600
    for path in ("opt/model", "etc/twelve.env"):
        assert f"/{path}" in usual  # what the unit reads
    assert (tmp_path / "opt" / "model" / "config.json").stat().st_mode & 0o004


def test_a_service_behind_a_login_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    section = DEPLOY_PAGE.partition("\n### Behind your company's login\n")[2].partition("\n### ")[0]
    (command,) = re.findall("`(twelve serve [^`]+)`", " ".join(section.split()))
    monkeypatch.delenv("TWELVE_TOKEN", raising=False)
    found = CliRunner().invoke(program, shlex.split(command)[1:]).exception
    assert "MODEL: no such folder" in str(found)


def test_the_page_says_after_what_time_a_thread_hangs() -> None:
    section = " ".join(OPERATE_PAGE.partition("\n## Health\n")[2].partition("\n## ")[0].split())
    usual, least = Limits(), Limits(answer_seconds=1)
    assert (usual.hung_seconds, least.hung_seconds) == (10 * usual.answer_seconds, 60)
    told = "more than ten times `--answer-seconds`, and for more than a minute"
    assert f"{told}. By default, this is after {usual.hung_seconds / 60:.0f} minutes." in section


def test_a_server_of_ones_own_reads_its_token_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (HOME / "docs" / "deploy.md").read_text(encoding="utf-8").partition("\n## Your own server")[2]
    code, commands = (re.findall(rf"^```{kind}\n(.*?)```", text, flags=re.M | re.S)[0] for kind in ("python", "bash"))
    ((make, file),) = re.findall(r"^(\(umask .+ > (\S+)\))$", commands, flags=re.M)
    assert f"/{file}" in (HOME / ".gitignore").read_text(encoding="utf-8").splitlines()
    make = make.replace("python ", f"{shlex.quote(sys.executable)} ")
    subprocess.run(["sh", "-c", make], cwd=tmp_path, check=True)
    assert (tmp_path / file).stat().st_mode & 0o777 == 0o600
    (tmp_path / "examples").symlink_to(HOME / "examples")
    monkeypatch.chdir(tmp_path)
    token, new = (tmp_path / file).read_text().strip(), "the-new-secret-of-24-chars"
    for content in (token, f"{new} {token}\n"):
        (tmp_path / file).write_text(content)
        names: dict[str, Any] = {}
        exec(code, names)  # our own page
        for host, given, status in (
            ("images.example.org", token, 200),
            ("images.example.org", new, 200 if new in content else 401),
            ("images.example.org", "another", 401),
            ("evil.example", token, 400),
        ):
            client = TestClient(names["app"], base_url=f"http://{host}")
            reply = client.get("/api/v1/model", headers={"authorization": f"Bearer {given}"})
            assert reply.status_code == status
            assert status != 200 or reply.json()["digest"] == digest_of(HOME / "examples" / "quickstart-model")
        names["app"].state.service.close()


def test_the_pages_name_arguments_of_the_dockerfile() -> None:
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    has = dict(re.findall(r"^ARG (\w+)(?:=(.+))?$", dockerfile, flags=re.M))
    text = DEPLOY_PAGE + OPERATE_PAGE
    assert {*re.findall(r"--build-arg (\w+)=", text)} == {*has}
    assert has["TORCH_INDEX"].endswith("/cpu") and '--index-url "$TORCH_INDEX"' in dockerfile
    assert f"a mirror of `{has['TORCH_INDEX']}`" in " ".join(text.split())
    assert has["PIP_INDEX_URL"] == ""  # a value would replace the one in pip.conf of a base image
    assert dockerfile.index("\nARG PIP_INDEX_URL\n") < dockerfile.index("pip install")
    assert f"--build-arg BASE={re.findall(r'^FROM (.+) AS ', dockerfile, flags=re.M)[0]}@sha256:" in text


def test_the_units_of_systemd_start_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    units = {}
    for name in ("twelve.service", "twelve@.service"):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(DEPLOY / "systemd" / name)
        units[name] = {section: dict(unit[section]) for section in unit.sections()}
    plain, several = units["twelve.service"], units["twelve@.service"]
    words = shlex.split(plain["Service"]["ExecStart"])
    assert words[0].endswith("/bin/twelve") and plain["Service"]["EnvironmentFile"] == "/etc/twelve.env"
    assert "--log-json" in words
    understood(words, monkeypatch, "/opt/model")
    unstarted = CliRunner().invoke(program, [*words[1:], "--answer-seconds", "0"]).exit_code
    assert plain["Service"]["Restart"] == "on-failure"  # a restart helps after 1 (a thread has ended), not after this
    assert plain["Service"]["RestartPreventExitStatus"] == str(unstarted) == "2" != str(ThreadLost.exit_code)
    assert several["Service"].pop("ExecStart") == plain["Service"].pop("ExecStart").replace("--port 8012", "--port %i")
    name, _, threads = several["Service"].pop("Environment").partition("=")
    assert name == "OMP_NUM_THREADS" and int(threads) > 0
    assert several["Unit"].pop("Description") != plain["Unit"].pop("Description") and several == plain


def _systemd() -> int:
    """The version of systemd here, 0 if there is none."""
    if shutil.which("systemd-analyze") is None:
        return 0
    said = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[1])


@pytest.mark.skipif(_systemd() < 250, reason="no systemd that checks files of units (250)")
@pytest.mark.parametrize("name", ["twelve.service", "twelve@.service"])
def test_the_units_of_systemd_forbid_what_the_service_does_not_need(name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", DEPLOY / "systemd" / name]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-200:] + found.stderr  # above 2.0 of 10 otherwise


def test_nginx_allows_what_the_service_allows() -> None:
    text = (DEPLOY / "nginx" / "twelve.conf").read_text(encoding="utf-8")
    settings = dict(re.findall(r"^ *([a-z_]+) +([^;{]+);", text, flags=re.M))
    assert settings["client_max_body_size"] == settings["client_body_buffer_size"]
    assert settings["client_max_body_size"] == f"{-(-Limits().max_body // 2**20)}m"
    assert int(settings["proxy_read_timeout"].removesuffix("s")) > Limits().answer_seconds
    assert text.count(f"server_name {settings['server_name']};") == 2  # also where http is redirected
    listened = re.findall(r"^ +listen (\S*?)(\d+)( .*)?;", text, flags=re.M)
    assert listened == [(on, *port) for port in (("80", ""), ("443", " ssl http2")) for on in ("", "[::]:")]
    (kept,) = re.findall(r'^    add_header Strict-Transport-Security "max-age=(\d+)" always;', text, flags=re.M)
    assert int(kept) == 365 * 24 * 3600  # "a year" in the comment and in docs/deploy.md
    # A location inherits all headers or, with one of its own, none.
    for block in re.findall(r"^    location [^\n]+ \{.*?^    \}", text, flags=re.M | re.S):
        assert (f'add_header Strict-Transport-Security "max-age={kept}" always;' in block) == ("add_header" in block)
    # The page is not refused its files: a browser has one connection with and one without credentials.
    ((streams, most),) = re.findall(r" http2_max_concurrent_streams (\d+);.*\n +limit_conn clients (\d+);", text)
    assert 2 * int(streams) <= int(most)
    assert "return 301 https://$host$request_uri;" in text
    assert settings["ssl_protocols"] == "TLSv1.2 TLSv1.3" and "needs nginx 1.13 or newer" in DEPLOY_PAGE
    (upstream,) = re.findall(r"^upstream (\w+) {\n +server 127.0.0.1:(\d+);", text, flags=re.M)
    assert settings["proxy_pass"] == f"http://{upstream[0]}" and upstream[1] == started()[-1]
    (own,) = one("kubernetes/base/kustomization.yaml")["configMapGenerator"]
    assert settings["server_name"] == own["literals"][0].partition("=")[2]

    for name in ("requests", "known_requests"):  # who waits for Retry-After can send a whole burst again
        (rate,) = re.findall(rf"zone={name}:10m rate=(\d+)r/s;", text)
        (burst,) = re.findall(rf"limit_req zone={name} burst=(\d+) ", text)
        assert int(burst) / int(rate) == int(replies_of_nginx()[429][1] or 0)
    files = [*(HOME / "src" / "twelve" / "web" / "static").iterdir()]
    (burst,) = re.findall(r"limit_req zone=requests burst=(\d+) ", text)
    assert 3 * (len(files) + 12) <= int(burst)  # three tabs at once: the files, and what the page asks when it opens
    assert settings["limit_req_status"] == settings["limit_conn_status"] == "429"


def replies_of_nginx() -> dict[int, tuple[dict[str, Any], str | None]]:
    """Status of an error of nginx itself -> its body and Retry-After."""
    text = (DEPLOY / "nginx" / "twelve.conf").read_text(encoding="utf-8")
    named = {place: int(status) for status, place in re.findall(r"error_page (\d+) (@\w+);", text)}
    found = {}
    for place, block in re.findall(r"location (@\w+) \{(.*?)\n    \}", text, flags=re.S):
        ((status, body),) = re.findall(r"return (\d+) '(.+)';", block)
        assert int(status) == named.pop(place)
        found[int(status)] = (
            json.loads(body),
            next(iter(re.findall(r"add_header Retry-After (\d+) always;", block)), None),
        )
    assert not named
    return found


def test_errors_of_nginx_have_the_form_of_the_service() -> None:
    found = replies_of_nginx()
    assert {*found} == {413, 429, 502, 504}
    text = (HOME / "docs" / "http-api.md").read_text(encoding="utf-8").partition("\n## Errors")[2]
    for status, (body, after) in found.items():
        told = Problem(**body) if body["code"] in CODES else Problem(**{**body, "code": "busy"})
        assert told.model_dump().keys() == body.keys() and body["error"] and body["remedy"]
        assert status in (502, 504) or CODES[body["code"]] == status
        assert (after is None) == (status in (413, 504)), status
        assert f"{status} (`{body['code']}`" in " ".join(text.split())
    assert f"{-(-Limits().max_body // 2**20)} MiB" in found[413][0]["error"]


def nginx_and_openssl() -> tuple[str, str]:
    nginx, openssl = (shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("nginx", "openssl"))
    if nginx is None or openssl is None:
        pytest.skip("needs nginx and openssl, which CI lacks")
    return nginx, openssl


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def local(folder: Path, openssl: str, redirected: int, port: int) -> str:
    """The file with a certificate of its own, for two ports of this machine, and without IPv6 where it has none."""
    made = shlex.split(f"{openssl} req -x509 -newkey rsa:2048 -nodes -subj /CN=images.example.org -keyout key -out pem")
    subprocess.run(made, cwd=folder, capture_output=True, check=True)
    text = (DEPLOY / "nginx" / "twelve.conf").read_text(encoding="utf-8")
    if not has_ipv6():
        text = re.sub(r"^ +listen \[::\].*\n", "", text, flags=re.M)
    for old, new in ((80, redirected), (443, port)):
        text = re.sub(rf"listen {old}\b", f"listen 127.0.0.1:{new}", text).replace(f"[::]:{old}", f"[::1]:{new}")
    return re.sub(r"/etc/ssl/images.example.org.(pem|key)", rf"{folder}/\1", text)


def logged(text: str, folder: Path) -> str:
    """The file with the log that a comment offers, as a file of the folder."""
    changed, count = re.subn(
        r"^( +)# (access_log )/var/log/nginx/twelve\.log( twelve;)\n +access_log off;$",
        rf"\1\2{folder}/access\3",
        text,
        flags=re.M,
    )
    assert count == 1
    return changed


def test_nginx_understands_its_file(tmp_path: Path) -> None:
    nginx, openssl = nginx_and_openssl()
    text = local(tmp_path, openssl, 1080, 1443)
    enabled = re.sub(r"# (set_real_ip_from|real_ip_header|198\.51\.100\.7)", r"\1", logged(text, tmp_path))
    assert enabled.count("\n    set_real_ip_from ") == enabled.count("\n    real_ip_header ") == 1
    assert enabled.count("\n    198.51.100.7 1;") == 1
    login, several = re.findall(r"```nginx\n(.*?)```", DEPLOY_PAGE, flags=re.S)
    (single,) = re.findall(r"^upstream .*?^}\n", text, flags=re.M | re.S)
    changed = {
        "plain": text,
        "enabled": enabled,
        "several": text.replace(single, several),
        "login": text.replace(" location / {\n", f" location / {{\n{login}"),
    }
    assert len({*changed.values()}) == len(changed)
    for name, content in changed.items():
        (tmp_path / name).write_text(content)
        main = tmp_path / f"{name}.conf"
        main.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ include {tmp_path}/{name}; }}\n")
        run = subprocess.run([nginx, "-t", "-c", main], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr


@contextmanager
def run_by_nginx(
    folder: Path, upstream: int, known: bool
) -> Iterator[tuple[Callable[..., tuple[int, str | None, bytes]], int]]:
    """nginx with the file, in front of a port; a function sends a request, which may claim to come from another client,
    and returns status, Retry-After and body; and the port for https."""
    nginx, openssl = nginx_and_openssl()
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        redirected, port = (each.getsockname()[1] for each in (one, other))
    text = local(folder, openssl, redirected, port).replace("127.0.0.1:8012", f"127.0.0.1:{upstream}")
    text = re.sub(r"rate=\d+r/s", "rate=1r/m", logged(text, folder))  # a slow machine has no more than the burst either
    text = text.replace("# set_real_ip_from 192.0.2.10;", "set_real_ip_from 127.0.0.1;")
    text = text.replace("# real_ip_header", "real_ip_header")
    (folder / "site").write_text(text.replace("# 198.51.100.7 1;", "127.0.0.1 1;") if known else text)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"pid {folder}/pid; error_log {folder}/log; daemon off; master_process off; events {{}}\n"
    (folder / "conf").write_text(f"{main} http {{ {paths} include {folder}/site; }}\n")
    process = subprocess.Popen([nginx, "-c", folder / "conf", "-e", folder / "log"])
    trusting = ssl.create_default_context(cafile=str(folder / "pem"))
    trusting.check_hostname = False

    def send(method: str, path: str, body: bytes | None = None, client: str = "") -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trusting)
        try:
            headers = {"Host": "images.example.org"} | ({"X-Forwarded-For": client} if client else {})
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            wanted = "text/html" if reply.status == 403 else "application/json"
            assert reply.headers.get_content_type() == wanted, reply.read()
            assert reply.headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]  # errors too
            return reply.status, reply.headers["Retry-After"], reply.read()
        finally:
            connection.close()

    try:
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
                break
            time.sleep(0.05)
        yield send, port
    finally:
        process.kill()
        process.wait()


class _Answering(BaseHTTPRequestHandler):
    """Stands in for the service."""

    def do_GET(self) -> None:
        body = b'{"code": "unknown_path"}'
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-ID", "5f0c1e9a7b3d2468")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def answering() -> Iterator[int]:
    """The port of what stands in for the service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("known", [False, True])
def test_nginx_replies_in_json_and_known_clients_may_send_more(known: bool, tmp_path: Path) -> None:
    wanted = replies_of_nginx()
    with answering() as upstream, run_by_nginx(tmp_path, upstream, known) as (send, _):
        status, after, body = send("POST", "/api/v1/scenes", bytes(22 << 20))
        assert (status, after, json.loads(body)) == (413, None, wanted[413][0])
        assert send("GET", "/x") == (404, None, b'{"code": "unknown_path"}')  # the service's own error
        with ThreadPoolExecutor(4) as pool:
            replies = [*pool.map(lambda _: send("GET", "/x"), range(120))]  # more than a burst
        refused = [(after, json.loads(body)) for status, after, body in replies if status == 429]
        assert bool(refused) != known and all(each == (wanted[429][1], wanted[429][0]) for each in refused)
        assert {status for status, _, _ in replies} == ({404} if known else {404, 429})


def test_nginx_limits_all_addresses_of_an_ipv6_network_together(tmp_path: Path) -> None:
    with answering() as upstream, run_by_nginx(tmp_path, upstream, known=False) as (send, _):

        def statuses(form: str) -> set[int]:
            return {send("GET", "/x", client=form.format(number))[0] for number in range(1, 121)}

        assert statuses("2001:db8:0:1::{:x}") == {404, 429}
        assert statuses("2001:db8:0:1:{:x}::1") == {429}
        assert statuses("2001:db8:1:{:x}::1") == {404}  # other networks
        assert statuses("192.0.2.{}") == {404}


def test_nginx_lets_only_named_addresses_read_the_metrics(tmp_path: Path) -> None:
    with answering() as upstream, run_by_nginx(tmp_path, upstream, known=False) as (send, _):
        assert send("GET", "/metrics")[0] == 404  # what stands in for the service has no metrics
        for path in ("/metrics", "//metrics", "/%6detrics", "/x/../metrics", "/metrics?x"):
            assert send("GET", path, client="192.0.2.9")[0] == 403
        assert send("GET", "/health", client="192.0.2.9")[0] == 404


def test_the_log_that_nginx_can_write_has_the_id_of_the_request(tmp_path: Path) -> None:
    wanted = ['"GET /x HTTP/1.1" 404 5f0c1e9a7b3d2468', '"GET /metrics HTTP/1.1" 403 -']  # 403 is of nginx itself
    with answering() as upstream, run_by_nginx(tmp_path, upstream, known=False) as (send, _):
        for path in ("/x", "/metrics"):
            send("GET", path, client="192.0.2.9")
        until = time.monotonic() + 60
        while len(lines := (tmp_path / "access").read_text().splitlines()) < 2 and time.monotonic() < until:
            time.sleep(0.05)  # nginx logs a request after its reply
    assert [re.sub(r"^192\.0\.2\.9 \[\S+\] ", "", line) for line in lines] == wanted


def test_nginx_speaks_http_2_also_over_ipv6_and_names_https_for_a_year(tmp_path: Path) -> None:
    with answering() as upstream, run_by_nginx(tmp_path, upstream, known=False) as (_, port):
        for host in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
            for spoken in (["h2", "http/1.1"], ["http/1.1"]):
                trusting = ssl.create_default_context(cafile=str(tmp_path / "pem"))
                trusting.set_alpn_protocols(spoken)
                with (
                    socket.create_connection((host, port), timeout=60) as plain,
                    trusting.wrap_socket(plain, server_hostname="images.example.org") as secure,
                ):
                    assert secure.selected_alpn_protocol() == spoken[0]
                    if spoken[0] == "h2":
                        continue
                    secure.sendall(b"GET /x HTTP/1.1\r\nHost: images.example.org\r\nConnection: close\r\n\r\n")
                    assert b"\r\nStrict-Transport-Security: max-age=31536000\r\n" in secure.makefile("rb").read()


def test_nginx_says_in_json_that_the_service_is_down(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        with run_by_nginx(tmp_path, closed.getsockname()[1], known=False) as (send, _):
            status, after, body = send("GET", "/api/v1/model")
    assert (status, json.loads(body), after) == (502, *replies_of_nginx()[502])


@pytest.mark.parametrize("components", [(), ("volume", "index", "route", "monitor"), ("volume", "path")], ids=str)
def test_kustomize_builds_the_same(components: tuple[str, ...], tmp_path: Path) -> None:
    commands = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
    command = next((words for name, words in commands.items() if shutil.which(name)), None)
    if command is None:
        pytest.skip("needs kustomize or kubectl, which CI lacks")
    own = own_folder(tmp_path) / "kustomization.yaml"
    about = yaml.safe_load(re.sub("^# ", "", own.read_text(), flags=re.M))
    about["components"] = [f"../twelve/deploy/kubernetes/{name}" for name in components]
    about["configMapGenerator"][0]["literals"] = ["host=photographs.example.org"]
    own.write_text(yaml.safe_dump(about))
    run = subprocess.run([*command, str(own.parent)], capture_output=True, text=True, check=True)
    found = {each["kind"]: each for each in yaml.safe_load_all(run.stdout)}
    values = found.pop("ConfigMap")
    assert values["data"] == {"host": "photographs.example.org"}
    wanted = built(*components)
    (container,) = wanted["Deployment"]["spec"]["template"]["spec"]["containers"]
    wanted["Deployment"]["spec"]["template"]["spec"]["imagePullSecrets"] = [{"name": "registry"}]
    container["image"] = "registry.example.org/twelve:1"
    container["args"].append("--max-waiting=128")
    container["env"][2]["valueFrom"]["configMapKeyRef"]["name"] = values["metadata"]["name"]
    if "HTTPRoute" in wanted:
        wanted["HTTPRoute"]["spec"]["hostnames"] = ["photographs.example.org"]
    assert found == wanted
