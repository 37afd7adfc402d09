"""The MQTT client, on paho: MQTT 3.1.1 and 5, TLS, a lasting session, acknowledgement by hand."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Sequence
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from faultline.ports.clock import Clock
from faultline.telemetry import logger
from services.ingest.bridge.intake import Arrival, Intake
from services.ingest.bridge.settings import BridgeSettings

log = logger(__name__)
_LONGEST_WAIT_S = 30


class MqttInlet:
    """See `services.ingest.bridge.intake.Inlet`; connects again after 1 to 30 s."""

    def __init__(self, settings: BridgeSettings, intake: Intake, clock: Clock) -> None:
        self._settings = settings
        self._filters = list(dict.fromkeys(each.filter for each in settings.mqtt_subscriptions))
        self._intake = intake
        self._clock = clock
        self._lock = threading.Lock()
        # Counts connections; None while there is none.
        self._connection: int | None = None
        self._connections = 0
        self._trouble: str | None = "not connected yet"
        self._client = self._new_client()

    def open(self) -> None:
        """Begin; returns at once, whether the broker is there or not."""
        host, port = self._settings.mqtt_address
        options: dict[str, Any] = {}
        if self._is_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._settings.mqtt_session_expiry_s
            properties.ReceiveMaximum = self._settings.mqtt_in_flight
            properties.MaximumPacketSize = self._settings.mqtt_in_flight_bytes
            options = {"clean_start": not self._lasting, "properties": properties}
        self._client.connect_async(host, port, self._settings.mqtt_keepalive_s, **options)
        self._client.loop_start()

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Tell the broker that it may forget them, in the order in which they came."""
        for arrival in arrivals:
            if arrival.qos == 0:
                continue
            # Numbers are of a connection: on the next one the same may be another message's.
            with self._lock:
                if arrival.connection == self._connection:
                    self._client.ack(arrival.number, arrival.qos)

    def check(self) -> str | None:
        """None, or why nothing comes."""
        return self._trouble

    def close(self) -> None:
        """Disconnect. The broker keeps the session."""
        # It was asked for, so it is no trouble.
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def _is_5(self) -> bool:
        return self._settings.mqtt_protocol == "5"

    @property
    def _lasting(self) -> bool:
        return self._settings.mqtt_session_expiry_s > 0

    def _new_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.mqtt_client_id,
            clean_session=None if self._is_5 else not self._lasting,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.reconnect_delay_set(1, _LONGEST_WAIT_S)
        if settings.mqtt_username is not None:
            client.username_pw_set(settings.mqtt_username, settings.mqtt_password)
        if settings.mqtt_tls:
            context = ssl.create_default_context(cafile=settings.mqtt_ca_file)
            if settings.mqtt_cert_file is not None:
                context.load_cert_chain(settings.mqtt_cert_file, settings.mqtt_key_file)
            client.tls_set_context(context)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        return client

    def _connected(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, __: Any
    ) -> None:
        if reason.is_failure:
            self._in_trouble(f"the broker refuses the connection: {reason}")
            return
        with self._lock:
            self._connections += 1
            self._connection = self._connections
        log.info("connected", protocol=self._settings.mqtt_protocol, session=flags.session_present)
        qos = self._settings.mqtt_qos
        if self._is_5:
            # Retained messages are for those who come anew, not after each break.
            options = SubscribeOptions(
                qos=qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            )
            client.subscribe([(each, options) for each in self._filters])
        else:
            client.subscribe([(each, int(qos)) for each in self._filters])

    def _subscribed(
        self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Any
    ) -> None:
        granted = list(zip(self._filters, reasons, strict=False))
        refused = [f"{name} ({reason})" for name, reason in granted if reason.is_failure]
        if refused:
            self._in_trouble(f"the broker refuses to subscribe to {', '.join(refused)}")
            return
        self._trouble = None
        less = [name for name, reason in granted if reason.value < self._settings.mqtt_qos]
        if less:
            log.warning("subscribed with QoS 0 only: messages may be lost", topics=less)

    def _arrived(self, _: Client, __: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            # No broker should let it through; what is raised here would end the client's thread.
            topic = ""
        assert self._connection is not None
        self._intake.put(
            Arrival(
                topic=topic,
                payload=bytes(message.payload),
                number=message.mid,
                connection=self._connection,
                qos=message.qos,
                retained=message.retain,
                arrived_ms=self._clock.now_ms(),
            )
        )

    def _not_connected(self, _: Client, __: Any) -> None:
        # paho calls this while it handles the error, and tells it to nobody.
        self._in_trouble(f"cannot connect: {sys.exc_info()[1]}")

    def _disconnected(
        self, _: Client, __: Any, ___: DisconnectFlags, reason: ReasonCode, ____: Any
    ) -> None:
        with self._lock:
            was, self._connection = self._connection, None
        if was is not None:
            # Otherwise the broker has refused the connection, and said why.
            self._in_trouble(f"disconnected: {reason}")

    def _in_trouble(self, trouble: str) -> None:
        host, port = self._settings.mqtt_address
        if trouble != self._trouble:
            log.warning("no MQTT broker", address=f"{host}:{port}", why=trouble)
        self._trouble = trouble
