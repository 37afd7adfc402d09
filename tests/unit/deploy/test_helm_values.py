"""The Helm chart's values against their schema, and against what they speak of; needs no helm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, ValidationError

from faultline.topics import READINGS
from services.predictor.stream import GROUP

_ROOT = Path(__file__).parents[3]
_CHART = _ROOT / "deploy/helm/faultline"
_VALUES: dict[str, Any] = yaml.safe_load((_CHART / "values.yaml").read_text())
_SCHEMA: dict[str, Any] = json.loads((_CHART / "values.schema.json").read_text())
_TEMPLATES = "\n".join(path.read_text() for path in sorted((_CHART / "templates").iterdir()))


def _with(dotted: str, value: object) -> dict[str, Any]:
    values = json.loads(json.dumps(_VALUES))
    *folders, name = dotted.split(".")
    inner = values
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    return dict(values)


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref")
    return _SCHEMA["definitions"][name.rsplit("/", 1)[1]] if name else schema


def _declared(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    properties = _resolved(schema).get("properties")
    if properties is None:
        yield path
        return
    for name, inner in properties.items():
        yield from _declared(inner, f"{path}.{name}".lstrip("."))


def _given(values: object, declared: set[str], path: str = "") -> Iterator[str]:
    if path in declared or not isinstance(values, dict):
        yield path
        return
    for name, inner in values.items():
        yield from _given(inner, declared, f"{path}.{name}".lstrip("."))


def test_the_schema_itself_is_one() -> None:
    Draft7Validator.check_schema(_SCHEMA)


def test_the_default_values_satisfy_the_schema() -> None:
    Draft7Validator(_SCHEMA).validate(_VALUES)


def test_every_value_is_declared_and_has_a_default() -> None:
    declared = set(_declared(_SCHEMA)) - {"global"}
    assert set(_given(_VALUES, declared)) == declared


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("gateway.replica", 3),
        ("kafka.bootstrapServers", "kafka"),
        ("kafka.sasl.mechanism", "GSSAPI"),
        ("database.sslmode", "yes"),
        ("mlflow.artifactRoot", "/elsewhere"),
        ("settings", {"not a variable": "x"}),
        ("predictor.autoscaling.maxReplicas", READINGS.partitions + 1),
    ],
)
def test_what_cannot_work_is_refused(dotted: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Draft7Validator(_SCHEMA).validate(_with(dotted, value))


def test_a_predictor_for_every_partition_is_allowed() -> None:
    values = _with("predictor.autoscaling.maxReplicas", READINGS.partitions)
    Draft7Validator(_SCHEMA).validate(values)


def test_no_password_has_a_default() -> None:
    def passwords(values: Mapping[str, Any]) -> Iterator[str]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from passwords(value)
            elif name == "password":
                yield value

    assert list(passwords(_VALUES)) == [""] * 4


def test_every_variable_of_the_templates_is_a_setting() -> None:
    settings = set(re.findall(r"^\| `([A-Z_0-9]+)` \|", _read("docs/settings.md"), re.MULTILINE))
    named = set(re.findall(r'(?:- name: |")(FAULTLINE_[A-Z_0-9]+)', _TEMPLATES))
    assert len(named) > 5
    assert named <= settings


def test_keda_looks_at_the_predictors_group_and_topic() -> None:
    assert f"consumerGroup: {GROUP}\n" in _TEMPLATES
    assert f"topic: {READINGS.name}\n" in _TEMPLATES


def test_pods_run_as_the_users_of_the_images() -> None:
    assert set(re.findall(r"^USER (\d+):\1$", _read("Dockerfile"), re.MULTILINE)) == {"10001"}
    assert set(re.findall(r"^USER (\d+):\1$", _read("mlflow/Dockerfile"), re.MULTILINE)) == {
        "50000"
    }
    used = set(re.findall(r'"faultline.podSecurity" (\d+)|"uid" (\d+)', _TEMPLATES))
    assert {one or other for one, other in used} == {"10001", "50000"}


def test_every_image_of_the_templates_is_built_here() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", _read("Dockerfile"), re.MULTILINE))
    named = set(re.findall(r'"image" "(\w+)"', _TEMPLATES)) | {"mlflow"}
    assert named - {"mlflow"} <= targets
    assert named == {"admin", "ingest", "recorder", "trainer", "predictor", "mlflow"}


def _read(path: str) -> str:
    return (_ROOT / path).read_text()
