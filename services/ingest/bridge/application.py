"""From MQTT messages to readings on the topic. Knows neither the MQTT client nor the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from faultline import topics
from faultline.errors import InvalidReading, Overloaded, Unavailable
from faultline.ports.broker import Broker, Delivery, Headers, Partition, Producer
from faultline.readings import Reading, encode_messages, field_of
from faultline.telemetry import logger
from services.ingest.bridge.fleet import Fleet
from services.ingest.bridge.intake import Arrival
from services.ingest.bridge.letters import MAX_BYTES, headers_of
from services.ingest.bridge.metrics import BridgeMetrics
from services.ingest.bridge.payloads import left_out, read_readings, read_value
from services.ingest.bridge.subscriptions import Subscription, first_match

log = logger(__name__)
_MESSAGE_READINGS = 200
_DELIVERY_S = 30.0


class Outgoing(NamedTuple):
    """A message for Kafka."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers = ()


class Bridge:
    """The one place where the bridge's promise is kept; see `deal`.

    Parameters
    ----------
    name
        The bridge's lasting name: whose snapshots it takes up.
    producer
        Closed by whoever opened it.
    """

    def __init__(
        self,
        name: str,
        subscriptions: Sequence[Subscription],
        fleet: Fleet,
        producer: Producer,
        metrics: BridgeMetrics,
    ) -> None:
        self._name = name
        self._subscriptions = subscriptions
        self._fleet = fleet
        self._producer = producer
        self._metrics = metrics

    def restore(self, broker: Broker, now_ms: int) -> None:
        """Take up where an earlier process of this bridge stood; once, before anything else.

        Raises
        ------
        Unavailable
            While Kafka is down.
        """
        snapshots = (
            (message.key, message.value)
            for number in range(topics.BRIDGE_STATE.partitions)
            for message in broker.read(Partition(topics.BRIDGE_STATE.name, number))
        )
        for key, why in self._fleet.restore(self._name, snapshots, now_ms):
            log.warning("a snapshot cannot be read: its machine begins anew", key=key, why=why)
        self._metrics.machines.set(len(self._fleet))

    def deal(
        self,
        arrivals: Sequence[Arrival],
        now_ms: int,
        until_done: Callable[[Callable[[], None]], bool],
    ) -> bool:
        """Deal with messages and make the rows that are due; after it they may be acknowledged.

        1. Readings, rows and dead letters are in Kafka.
        2. So are the snapshots of the machines whose values came or whose rows were made: what
           came is in a row, or will be after a crash.

        A crash in between repeats: the same rows, of which each is stored once.

        Parameters
        ----------
        until_done
            Calls a step until it works, or answers False when the bridge is to stop.

        Returns
        -------
        bool
            False when it was told to stop before all was done: nothing may be acknowledged.
        """
        readings: list[Reading] = []
        letters: list[Outgoing] = []
        for arrival in arrivals:
            self._sort(arrival, readings, letters)
        rows = self._fleet.due(now_ms)
        self._metrics.machines.set(len(self._fleet))
        first = [
            Outgoing(topics.READINGS.name, key, value)
            for key, value in encode_messages([*readings, *rows], _MESSAGE_READINGS)
        ]
        snapshots = [
            Outgoing(topics.BRIDGE_STATE.name, key, value)
            for key, value in self._fleet.changed(self._name)
        ]
        with self._metrics.deliver_seconds.time():
            for batch in ([*first, *letters], snapshots):
                if not until_done(Shipment(self._producer, batch).deliver):
                    return False
        self._metrics.readings.labels("sent").inc(len(readings))
        self._metrics.readings.labels("row").inc(len(rows))
        return True

    def _sort(self, arrival: Arrival, readings: list[Reading], letters: list[Outgoing]) -> None:
        matched = first_match(self._subscriptions, arrival.topic)
        if matched is None:
            self._skip("unsubscribed")
            return
        subscription, said = matched
        # A value's payload is no reading: nothing that is told would complete it.
        told = {} if subscription.is_value else left_out(subscription, said)
        try:
            if subscription.is_value:
                self._take_value(subscription, said, arrival)
                return
            decoded = read_readings(arrival.payload, told)
        except InvalidReading as error:
            letters.append(self._refuse(arrival, [str(error)], (), told))
            return
        readings.extend(decoded.readings)
        self._metrics.messages.labels("reading").inc()
        if decoded.refusals:
            reasons = [refusal.reason for refusal in decoded.refusals]
            positions = [refusal.position for refusal in decoded.refusals]
            letters.append(self._refuse(arrival, reasons, positions, told))

    def _take_value(
        self, subscription: Subscription, said: Mapping[str, str], arrival: Arrival
    ) -> None:
        value = read_value(subscription, said, arrival.payload)
        if arrival.retained and value.timestamp_ms is None:
            # It may be of last year, and comes again with each connection.
            self._skip("retained")
            return
        taken = self._fleet.take(value, arrival.arrived_ms)
        self._metrics.messages.labels("value").inc()
        self._metrics.late.inc(taken.late)
        self._metrics.ahead.inc(taken.ahead)

    def _skip(self, why: str) -> None:
        self._metrics.messages.labels("skipped").inc()
        self._metrics.skipped.labels(why).inc()

    def _refuse(
        self,
        arrival: Arrival,
        reasons: Sequence[str],
        positions: Sequence[int],
        told: Mapping[str, str],
    ) -> Outgoing:
        for reason in reasons:
            self._metrics.refused.labels(field_of(reason)).inc()
        if not positions:
            self._metrics.messages.labels("refused").inc()
        headers = headers_of(arrival, "; ".join(reasons), positions, told)
        return Outgoing(topics.READINGS_DLQ.name, None, arrival.payload[:MAX_BYTES], headers)


class Shipment:
    """Messages that have to arrive, in their order of sending."""

    def __init__(self, producer: Producer, messages: Sequence[Outgoing]) -> None:
        self._producer = producer
        self._left = list(messages)

    def deliver(self) -> None:
        """Return once Kafka has all; what it has already is not sent again.

        Raises
        ------
        Unavailable
            When it has not got all. Calling again goes on with the rest.
        """
        while self._left:
            under_way: list[Delivery] = []
            try:
                for message in self._left:
                    delivery = self._producer.send(*message)
                    # One by one: where one fails, those before it are under way.
                    under_way.append(delivery)
            except Overloaded:
                if not under_way:
                    raise
            except Unavailable:
                self._settle(under_way)
                raise
            self._settle(under_way)

    def _settle(self, under_way: Sequence[Delivery]) -> None:
        arrived = 0
        try:
            for delivery in under_way:
                delivery.wait(_DELIVERY_S)
                arrived += 1
        finally:
            del self._left[:arrived]
