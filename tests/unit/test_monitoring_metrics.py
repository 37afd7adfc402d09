"""What rules and dashboards ask for is exported, and what is exported is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from services.ingest.bridge.metrics import BridgeMetrics
from services.ingest.gateway.metrics import GatewayMetrics
from services.ingest.recorder.metrics import RecorderMetrics
from services.predictor.comparison_metrics import ComparisonCollector
from services.predictor.metrics import Metrics as PredictorMetrics
from services.trainer.metrics import Metrics as TrainerMetrics

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
_NAME = re.compile(r"\b(?:faultline|process)[_:][a-z0-9_:]+")
_LABELS = re.compile(r"machine(_id)?$")


def _registries() -> list[CollectorRegistry]:
    predictor = PredictorMetrics()
    predictor.registry.register(ComparisonCollector(lambda: ()))
    others = (BridgeMetrics(), GatewayMetrics(), RecorderMetrics(), TrainerMetrics())
    return [predictor.registry, *(metrics.registry for metrics in others)]


_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}


def _exported() -> set[str]:
    families = [family for registry in _registries() for family in registry.collect()]
    return {family.name + end for family in families for end in _SUFFIXES[family.type]}


def _rules() -> list[dict[str, Any]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def _dashboard(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _asked(expressions: Iterable[str]) -> set[str]:
    return {name for expression in expressions for name in _NAME.findall(expression)}


def _expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["query"]


RECORDED = {rule["record"] for rule in _rules() if "record" in rule}


def test_every_metric_that_a_rule_asks_for_is_exported_or_recorded() -> None:
    asked = _asked(rule["expr"] for rule in _rules())
    assert asked
    assert asked <= _exported() | RECORDED


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_metric_that_a_dashboard_asks_for_is_exported_or_recorded(file: Path) -> None:
    asked = _asked(_expressions(_dashboard(file)))
    assert asked
    assert asked <= _exported() | RECORDED


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_found_under_its_name_and_asks_the_provisioned_source(file: Path) -> None:
    dashboard = _dashboard(file)
    assert dashboard["uid"] == f"faultline-{file.stem}"
    folder = ROOT / "deploy" / "grafana" / "provisioning" / "datasources"
    (source,) = yaml.safe_load((folder / "prometheus.yml").read_text())["datasources"]
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"]}
    assert used == {source["uid"]}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids) > 0


def test_no_metric_names_a_machine_and_every_unit_is_in_the_name() -> None:
    for registry in _registries():
        for collector in registry._collector_to_names:
            for label in getattr(collector, "_labelnames", ()):
                assert not _LABELS.search(label), collector
        for family in registry.collect():
            if family.name.startswith("faultline_") and family.type == "histogram":
                assert re.search(r"_(seconds|readings|scores)$", family.name), family.name
            assert "milliseconds" not in family.name


def test_every_metric_of_ours_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    families = [family for registry in _registries() for family in registry.collect()]
    ours = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if family.name.startswith("faultline_")
    }
    assert ours == set(re.findall(r"^\| `(faultline_\w+)`", page, re.MULTILINE))
