"""The bridge's settings, as they stand in the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from services.ingest.bridge.alignment import Grid
from services.ingest.bridge.settings import BridgeSettings


def test_subscriptions_and_grids_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FAULTLINE_MQTT_SUBSCRIPTIONS",
        '[{"topic": "plant/+/{machine}/{sensor}", "machine_type": "pump"}, {"topic": "f/#"}]',
    )
    monkeypatch.setenv("FAULTLINE_MQTT_GRIDS", '{"pump": {"period_s": 0.25, "max_age_s": 5}}')
    settings = BridgeSettings()
    assert [each.filter for each in settings.mqtt_subscriptions] == ["plant/+/+/+", "f/#"]
    assert settings.grids() == {
        "pump": Grid(250, 5_000, 500),
        "default": Grid(1_000, 60_000, 500),
    }


@pytest.mark.parametrize(
    ("url", "address", "tls"),
    [
        ("mqtt://broker", ("broker", 1883), False),
        ("mqtts://broker", ("broker", 8883), True),
        ("mqtts://[::1]:1234", ("::1", 1234), True),
    ],
)
def test_the_url_says_address_and_tls(url: str, address: tuple[str, int], tls: bool) -> None:
    settings = BridgeSettings(mqtt_url=url)
    assert (settings.mqtt_address, settings.mqtt_tls) == (address, tls)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MQTT_URL", "http://broker"),
        ("MQTT_URL", "mqtt://"),
        ("MQTT_URL", "mqtt://user:secret@broker"),
        ("MQTT_URL", "mqtt://broker:99999"),
        ("MQTT_QOS", "2"),
        ("MQTT_PROTOCOL", "3.1"),
        ("MQTT_SUBSCRIPTIONS", '[{"topic": "a/{sensor}"}]'),
        ("MQTT_SUBSCRIPTIONS", '[{"topic": "a", "machine_typ": "pump"}]'),
        ("MQTT_GRIDS", '{"pump": {"period_s": 0}}'),
        ("MQTT_GRIDS", "pump"),
        ("MQTT_KEY_FILE", "key.pem"),
    ],
)
def test_what_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FAULTLINE_{name}", value)
    with pytest.raises((ValidationError, SettingsError)):
        BridgeSettings()
