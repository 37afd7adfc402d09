"""What the Helm chart makes, held against Kubernetes' own schemas and against the services."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import kubernetes_validate
import pytest
from pydantic_settings import BaseSettings
from sqlalchemy import make_url

from faultline.settings import DatabaseSettings, KafkaSettings
from services.ingest.settings import GatewaySettings, RecorderSettings
from services.predictor.settings import PredictorSettings
from services.trainer.settings import TrainerSettings

Manifest = dict[str, Any]

EVERYTHING: dict[str, Any] = {
    "image": {"registry": "registry.example.com", "pullSecrets": [{"name": "pull"}]},
    "kafka": {
        "bootstrapServers": "kafka-0:9092,kafka-1:9093",
        "tls": {"enabled": True, "caSecret": "kafka-ca"},
        "sasl": {"enabled": True, "username": "u", "password": "p"},
    },
    "database": {"sslmode": "verify-full", "caSecret": "database-ca"},
    "mlflow": {
        "database": {"sslmode": "verify-full"},
        "replicas": 2,
        "artifactRoot": "s3://bucket/models",
        "s3Secret": "s3",
        "login": True,
        "username": "u",
        "password": "p",
    },
    "settings": {"FAULTLINE_LOG_LEVEL": "debug", "FAULTLINE_GATE_MIN_ROWS": 500},
    "trainer": {"settings": {"FAULTLINE_LOG_LEVEL": "info"}},
    "gateway": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "podAnnotations": {"team": "reliability"},
        "priorityClassName": "high",
    },
    "predictor": {"autoscaling": {"enabled": True}},
    "serviceAccounts": {"mlflowAnnotations": {"role": "arn"}},
    "ingress": {"enabled": True, "tlsSecret": "tls", "hosts": {"predictor": "p.example.com"}},
    "serviceMonitor": {"enabled": True},
}
_WITHOUT_SCHEMA = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor"}
_SERVICES: dict[str, type[BaseSettings]] = {
    "gateway": GatewaySettings,
    "recorder": RecorderSettings,
    "trainer": TrainerSettings,
    "predictor": PredictorSettings,
    "migrate": DatabaseSettings,
    "topics": KafkaSettings,
}


class Rendered(Protocol):
    manifests: tuple[Manifest, ...]

    def of(self, kind: str) -> dict[str, Manifest]: ...
    def pods(self) -> dict[str, Manifest]: ...


class Chart(Protocol):
    def render(self, **values: Any) -> Rendered: ...
    def run(self, values: dict[str, Any], options: Any = ()) -> Any: ...


@pytest.fixture(scope="module", params=[{}, EVERYTHING], ids=["least", "everything"])
def rendered(request: pytest.FixtureRequest, chart: Chart) -> Rendered:
    return chart.render(**request.param)


@pytest.mark.parametrize("version", ["1.27", kubernetes_validate.latest_version()])
def test_kubernetes_knows_every_field(rendered: Rendered, version: str) -> None:
    known = [each for each in rendered.manifests if each["kind"] not in _WITHOUT_SCHEMA]
    assert len(known) > 20
    for manifest in known:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_no_name_is_given_twice(rendered: Rendered) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered.manifests]
    assert len(names) == len(set(names))


def test_every_pod_is_confined(rendered: Rendered) -> None:
    for pod in rendered.pods().values():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_no_services_address_comes_as_a_variable(rendered: Rendered) -> None:
    """`plant-faultline-predictor` or not: FAULTLINE_PREDICTOR_PORT must not be tcp://..."""
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in rendered.pods().values())


def test_every_service_is_probed_and_not_restarted_for_what_others_lack(
    rendered: Rendered,
) -> None:
    for component in ("gateway", "recorder", "trainer", "predictor"):
        [container] = rendered.pods()[component]["spec"]["containers"]
        assert container["startupProbe"]["httpGet"]["path"] == "/health/live"
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


@pytest.mark.parametrize("name", sorted(_SERVICES))
def test_the_variables_are_settings_that_the_service_takes(
    name: str, rendered: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = _environment(rendered, name)
    settings = _SERVICES[name]
    taken = {
        str(field.validation_alias or f"FAULTLINE_{field_name.upper()}")
        for field_name, field in settings.model_fields.items()
    }
    # Those of all services are given to each.
    shared = set(EVERYTHING["settings"]) | {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    assert set(environment) - shared <= taken
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings()


def test_kafkas_security_is_what_the_values_say(chart: Chart) -> None:
    for tls, sasl, protocol in (
        (False, False, "PLAINTEXT"),
        (True, False, "SSL"),
        (False, True, "SASL_PLAINTEXT"),
        (True, True, "SASL_SSL"),
    ):
        login = {"enabled": sasl, "username": "u", "password": "p"}
        rendered = chart.render(kafka={"tls": {"enabled": tls}, "sasl": login})
        environment = _environment(rendered, "gateway")
        assert environment["FAULTLINE_KAFKA_SECURITY_PROTOCOL"] == protocol


def test_a_password_of_any_characters_reaches_the_database(chart: Chart) -> None:
    url = make_url(_environment(chart.render(), "recorder")["FAULTLINE_DATABASE_URL"])
    assert url.password == "p@ss w/rd:+%"
    assert (url.host, url.port, url.database) == ("postgres", 5432, "faultline")


def test_the_database_is_held_against_a_certificate_that_the_pods_have(chart: Chart) -> None:
    rendered = chart.render(**EVERYTHING)
    file = make_url(_environment(rendered, "migrate")["FAULTLINE_DATABASE_URL"]).query[
        "sslrootcert"
    ]
    for component in ("migrate", "recorder", "trainer", "predictor"):
        [container] = rendered.pods()[component]["spec"]["containers"]
        folders = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert str(Path(str(file)).parent) in folders
    for component in ("mlflow", "mlflow-upgrade"):
        url = make_url(_environment(rendered, component)["MLFLOW_BACKEND_STORE_URI"])
        assert url.query == {"sslmode": "verify-full", "sslrootcert": "system"}


def test_a_services_own_setting_wins(chart: Chart) -> None:
    rendered = chart.render(**EVERYTHING)
    assert _environment(rendered, "trainer")["FAULTLINE_LOG_LEVEL"] == "info"
    assert _environment(rendered, "recorder")["FAULTLINE_LOG_LEVEL"] == "debug"


def test_what_a_pod_refers_to_is_there(rendered: Rendered) -> None:
    secrets = set(rendered.of("Secret")) | {"kafka-ca", "database-ca", "s3"}
    accounts = set(rendered.of("ServiceAccount"))
    claims = set(rendered.of("PersistentVolumeClaim"))
    for pod in rendered.pods().values():
        spec = pod["spec"]
        assert spec.get("serviceAccountName") in accounts | {None}
        for volume in spec["volumes"]:
            assert volume.get("secret", {}).get("secretName") in secrets | {None}
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in claims | {None}
        [container] = spec["containers"]
        given = {each["valueFrom"]["secretKeyRef"]["name"] for each in _from_secrets(container)}
        assert given <= secrets


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_a_selector_finds_pods_of_one_component(rendered: Rendered, kind: str) -> None:
    for name, manifest in rendered.of(kind).items():
        spec = manifest["spec"]
        wanted = spec.get("selector") or spec["podSelector"]
        wanted = wanted.get("matchLabels", wanted)
        found = [
            component
            for component, pod in rendered.pods().items()
            if wanted.items() <= pod["metadata"]["labels"].items()
        ]
        if name.endswith("-deny"):
            assert set(found) == set(rendered.pods())
        else:
            assert len(found) == 1, f"{kind} {name} finds {found}"


def test_every_pod_may_reach_what_it_needs_and_nothing_else(chart: Chart) -> None:
    policies = chart.render(**EVERYTHING).of("NetworkPolicy")
    reached = {
        name.removeprefix("plant-faultline-"): {
            port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]
        }
        for name, policy in policies.items()
    }
    kafka, database, mlflow = {9092, 9093}, {5432}, {5000}
    assert reached == {
        "deny": {53},
        "gateway": kafka,
        "recorder": kafka | database,
        "trainer": kafka | database | mlflow,
        "predictor": kafka | database | mlflow,
        "mlflow": database | {443},
        "migrate": database,
        "topics": kafka,
        "mlflow-upgrade": database,
    }


def test_the_steps_run_before_the_services(rendered: Rendered) -> None:
    for job in rendered.of("Job").values():
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert set(rendered.of("Job")) == {
        f"plant-faultline-{step}" for step in ("migrate", "topics", "mlflow-upgrade")
    }


def test_keda_alone_says_how_many_predictors_there_are(chart: Chart) -> None:
    rendered = chart.render(**EVERYTHING)
    [(name, scaled)] = rendered.of("ScaledObject").items()
    assert scaled["spec"]["scaleTargetRef"]["name"] == name
    assert "replicas" not in rendered.of("StatefulSet")[name]["spec"]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["metadata"]["sasl"] == "scram_sha512"
    [login] = rendered.of("TriggerAuthentication").values()
    assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
    assert {each["parameter"] for each in login["spec"]["secretTargetRef"]} == {
        "username",
        "password",
        "ca",
    }


def test_a_secret_of_yours_is_used_and_none_is_made(chart: Chart) -> None:
    rendered = chart.render(existingSecret="ours", database={"host": "", "password": ""})
    assert not rendered.of("Secret")
    [container] = rendered.pods()["migrate"]["spec"]["containers"]
    [given] = _from_secrets(container)
    assert given["valueFrom"]["secretKeyRef"] == {"name": "ours", "key": "database-url"}


def test_an_mlflow_of_yours_takes_the_place_of_the_charts(chart: Chart) -> None:
    mlflow = {"enabled": False, "trackingUri": "https://mlflow.example.com"}
    rendered = chart.render(mlflow=mlflow)
    assert "mlflow" not in rendered.pods()
    assert _environment(rendered, "trainer")["MLFLOW_TRACKING_URI"] == mlflow["trackingUri"]
    rules = rendered.of("NetworkPolicy")["plant-faultline-trainer"]["spec"]["egress"]
    assert 443 in {port["port"] for rule in rules for port in rule["ports"]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kafka": {"bootstrapServers": ""}}, "kafka.bootstrapServers is needed"),
        ({"database": {"password": ""}}, "database.password is needed"),
        ({"mlflow": {"database": {"password": ""}}}, "mlflow.database.password is needed"),
        ({"kafka": {"sasl": {"enabled": True}}}, "kafka.sasl.username is needed"),
        ({"mlflow": {"enabled": False}}, "mlflow.trackingUri is needed"),
        ({"mlflow": {"replicas": 2}}, "artifactRoot on S3"),
        ({"ingress": {"enabled": True}}, "names no host"),
        (
            {"ingress": {"enabled": True, "hosts": {"gateway": "g.example.com"}}},
            "ingress.tlsSecret is needed",
        ),
        ({"gateway": {"replica": 3}}, "replica"),
    ],
)
def test_what_is_missing_or_mistyped_is_said(
    chart: Chart, values: dict[str, Any], said: str
) -> None:
    done = chart.run(values)
    assert done.returncode != 0
    assert said in done.stderr


def _from_secrets(container: Manifest) -> list[Manifest]:
    return [each for each in container["env"] if "valueFrom" in each]


def _environment(rendered: Rendered, component: str) -> dict[str, str]:
    """What a service finds in its environment, with the Secret's values."""
    [container] = rendered.pods()[component]["spec"]["containers"]
    secrets = rendered.of("Secret")
    environment = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    for each in _from_secrets(container):
        key = each["valueFrom"]["secretKeyRef"]
        environment[each["name"]] = secrets[key["name"]]["stringData"][key["key"]]
    return environment
