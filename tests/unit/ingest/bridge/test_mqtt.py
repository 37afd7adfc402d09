"""What the MQTT client makes of answers of the broker; tests/integration/mqtt has the rest."""

from __future__ import annotations

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from faultline.adapters.clock import SystemClock
from services.ingest.bridge.intake import Intake
from services.ingest.bridge.mqtt import MqttInlet
from services.ingest.bridge.settings import BridgeSettings
from services.ingest.bridge.subscriptions import Subscription


@pytest.fixture
def inlet() -> MqttInlet:
    subscriptions = (Subscription(topic="a/{machine}"), Subscription(topic="b/{machine}"))
    settings = BridgeSettings(mqtt_subscriptions=subscriptions)
    return MqttInlet(settings, Intake(1, 1), SystemClock())


def answer(inlet: MqttInlet, *codes: int) -> None:
    reasons = [ReasonCode(PacketTypes.SUBACK, identifier=code) for code in codes]
    inlet._subscribed(inlet._client, None, 1, reasons, None)


def test_a_subscription_that_the_broker_refuses_is_told(inlet: MqttInlet) -> None:
    answer(inlet, 1, 135)
    assert inlet.check() == "the broker refuses to subscribe to b/+ (Not authorized)"


def test_a_subscription_at_less_than_was_asked_for_is_logged(
    inlet: MqttInlet, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(inlet, 0, 1)
    assert inlet.check() is None
    assert "QoS 0 only" in capsys.readouterr().out
