"""Writes the reference pages from the code that they describe: `make docs`.

``docs/asyncapi.yaml`` comes from the topics and the message structs, ``docs/settings.md`` from the
settings classes, ``docs/metrics.md`` from what the services count. A test fails when a page is not
what this would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from faultline import dead_letters, events, labels, readings, settings, topics, verdicts
from faultline.alarms import AlarmEvent
from faultline.comparisons import Comparison
from faultline.drift import DriftEvent
from services.ingest import settings as ingest_settings
from services.ingest.bridge import settings as bridge_settings
from services.ingest.bridge.metrics import BridgeMetrics
from services.ingest.gateway.metrics import GatewayMetrics
from services.ingest.recorder.metrics import RecorderMetrics
from services.predictor import settings as predictor_settings
from services.predictor.comparison_metrics import ComparisonCollector
from services.predictor.metrics import Metrics as PredictorMetrics
from services.trainer import settings as trainer_settings
from services.trainer.metrics import Metrics as TrainerMetrics

HERE = Path(__file__).parent

_TIMESTAMP = {
    "description": "RFC 3339, or milliseconds since the epoch. Without a zone it is UTC. "
    "Years 1970 to 2100.",
    "oneOf": [
        {"type": "string", "examples": ["2026-11-21T08:00:00.000Z"]},
        {"type": "number", "examples": [1795248000000]},
    ],
}
_PASSENGER = {
    "type": "string",
    "maxLength": readings.MAX_PASSENGER_LENGTH,
    "description": "Travels along untouched.",
}
_READING: dict[str, Any] = {
    "type": "object",
    "required": ["machine_id", "timestamp", "sensors"],
    "properties": {
        "machine_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": readings.MAX_MACHINE_ID_LENGTH,
            "description": "Printable characters of any script; no control characters.",
            "examples": ["pump-07"],
        },
        "machine_type": {
            "type": "string",
            "pattern": "^[a-z0-9_-]{1,63}$",
            "default": readings.DEFAULT_MACHINE_TYPE,
            "description": "Names the model that judges the reading.",
        },
        "timestamp": _TIMESTAMP,
        "sensors": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": readings.MAX_SENSORS,
            "additionalProperties": {
                "type": ["number", "null"],
                "minimum": -readings.MAX_ABSOLUTE_VALUE,
                "maximum": readings.MAX_ABSOLUTE_VALUE,
            },
            "description": "Name to value; null is a missing value. NaN and infinity are refused.",
            "examples": [{"pressure": 4.1, "vibration": 0.02}],
        },
        "event_id": _PASSENGER,
        "traceparent": _PASSENGER,
    },
}
_PAYLOADS: dict[str, Any] = {
    topics.READINGS.name: {
        "oneOf": [
            {"$ref": "#/components/schemas/Reading"},
            {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Reading"}},
        ]
    },
    topics.READINGS_DLQ.name: {"description": "The refused message's bytes, unchanged."},
    topics.VERDICTS.name: {"$ref": "#/components/schemas/VerdictBatch"},
    topics.ALARMS.name: {"$ref": "#/components/schemas/AlarmEvent"},
    topics.LABELS.name: {"$ref": "#/components/schemas/FaultLabel"},
    topics.PREDICTOR_STATE.name: {
        "description": "MessagePack, private to the predictor: a machine's window, its alarm "
        "counters and the offset they stand at."
    },
    topics.MODEL_EVENTS.name: {"$ref": "#/components/schemas/ModelEvent"},
    topics.MODEL_COMPARISONS.name: {"$ref": "#/components/schemas/Comparison"},
    topics.DRIFT_EVENTS.name: {"$ref": "#/components/schemas/DriftEvent"},
    topics.BRIDGE_STATE.name: {
        "description": "MessagePack, private to the MQTT bridge: a machine's last values and the "
        "rows that wait."
    },
}
_HEADERS: dict[str, Any] = {
    topic.name: {
        "headers": {
            "type": "object",
            "properties": {
                name: {"type": "string", "description": about} for name, about in headers.items()
            },
        }
    }
    for topic, headers in (
        (topics.READINGS, {dead_letters.REPLAYED_FROM: "The dead letter that it was, if it was."}),
        (topics.READINGS_DLQ, dead_letters.HEADERS),
    )
}
_STRUCTS = (
    verdicts.VerdictBatch,
    AlarmEvent,
    labels.FaultLabel,
    events.ModelEvent,
    Comparison,
    DriftEvent,
)

_SETTINGS: tuple[tuple[str, tuple[type[BaseModel], ...]], ...] = (
    (
        "Shared by the services",
        (
            settings.ServiceSettings,
            settings.TracingSettings,
            settings.KafkaSettings,
            settings.DatabaseSettings,
            settings.RetentionSettings,
            settings.RegistrySettings,
            settings.AlarmSettings,
        ),
    ),
    ("Gateway", (ingest_settings.GatewaySettings,)),
    ("Recorder", (ingest_settings.RecorderSettings,)),
    ("MQTT bridge", (bridge_settings.BridgeSettings,)),
    ("Trainer", (trainer_settings.TrainerSettings,)),
    ("Predictor", (predictor_settings.PredictorSettings,)),
)


def asyncapi() -> str:
    """The topics and their messages as an AsyncAPI 3 document, in YAML."""
    _, schemas = msgspec.json.schema_components(
        _STRUCTS, ref_template="#/components/schemas/{name}"
    )
    channels = {
        topic.name: {
            "address": topic.name,
            "description": f"{topic.about} Key: {topic.key}.",
            "messages": {
                "message": {**_HEADERS.get(topic.name, {}), "payload": _PAYLOADS[topic.name]}
            },
            "bindings": {
                "kafka": {
                    "partitions": topic.partitions,
                    "topicConfiguration": {
                        "cleanup.policy": [topic.config["cleanup.policy"]],
                        **({"retention.ms": topic.retention_ms} if topic.retention_ms else {}),
                    },
                }
            },
        }
        for topic in topics.ALL
    }
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Faultline",
            "version": "1",
            "description": "The topics that Faultline reads and writes.",
            "license": {"name": "Apache-2.0"},
        },
        "channels": channels,
        "components": {"schemas": {"Reading": _READING, **schemas}},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "none"
    return f"`{field.default}`"


def settings_page() -> str:
    """Every setting, with its environment variable, default and meaning, in Markdown."""
    lines = [
        "# Settings",
        "",
        "Read from the environment when a service starts. `faultline up` sets the addresses by "
        "itself and passes the rest on. Written by `make docs`.",
    ]
    seen: set[str] = set()
    for title, classes in _SETTINGS:
        rows = []
        for cls in classes:
            for name, variable, field in settings.declared(cls):
                if name in seen:
                    continue
                seen.add(name)
                rows.append(f"| `{variable}` | {_default(field)} | {field.description} |")
        lines += ["", f"## {title}", "", "| variable | default | meaning |", "| --- | --- | --- |"]
        lines += rows
    return "\n".join([*lines, ""])


def registries() -> dict[str, CollectorRegistry]:
    """What each service shows on its `/metrics`, before anything has happened."""
    predictor = PredictorMetrics().registry
    predictor.register(ComparisonCollector(lambda: ()))
    return {
        "Gateway": GatewayMetrics().registry,
        "Recorder": RecorderMetrics().registry,
        "MQTT bridge": BridgeMetrics().registry,
        "Trainer": TrainerMetrics().registry,
        "Predictor": predictor,
    }


def _metric_rows(registry: CollectorRegistry) -> Iterator[str]:
    for collector in registry._collector_to_names:
        for family in collector.collect() or ():
            if not family.name.startswith("faultline_"):
                continue
            name = family.name + ("_total" if family.type == "counter" else "")
            # Where the labels are known: with the collector, or, made when asked for, the family.
            names = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
            labels = ", ".join(f"`{label}`" for label in names)
            yield f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def metrics_page() -> str:
    """Every metric, with its type, labels and meaning, in Markdown."""
    lines = [
        "# Metrics",
        "",
        "On `/metrics` of every service, in Prometheus' text format; beside them `process_*` has "
        "the process' memory, processor time and files. No label names a machine. Alerts and what "
        "to do about them: [operations.md](operations.md). Written by `make docs`.",
    ]
    for title, registry in registries().items():
        lines += ["", f"## {title}", "", "| metric | type | labels | meaning |"]
        lines += ["| --- | --- | --- | --- |", *_metric_rows(registry)]
    return "\n".join([*lines, ""])


PAGES = {"asyncapi.yaml": asyncapi, "metrics.md": metrics_page, "settings.md": settings_page}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
