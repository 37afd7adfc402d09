"""Reads what topics and tables hold when all is quiet again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select

from faultline import topics
from faultline import verdicts as verdict_codec
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.alarm_rows import to_alarm
from faultline.adapters.postgres.schema import (
    alarm_events,
    alarms,
    machines,
    readings,
    stream_offsets,
    verdicts,
)
from faultline.adapters.postgres.verdict_rows import to_stored_verdict
from faultline.alarms import AlarmEvent, AlarmEventKind
from faultline.ports.broker import Broker, Message, Partition
from faultline.topics import Topic
from tests.history.arrivals import Identity
from tests.history.findings import Observed, Row


class Observer:
    """Looks at one platform, past all proxies."""

    def __init__(self, broker: Broker, database: PostgresDatabase) -> None:
        self._broker = broker
        self._database = database

    def is_recorded(self, recorded: Sequence[Topic]) -> bool:
        """Whether the recorder has come to the end of these topics."""
        ends = {
            partition: messages[-1].offset + 1
            for partition, messages in self._partitions(recorded).items()
            if messages
        }
        with self._database.transaction() as connection:
            stored = {
                Partition(row.topic, row.partition): row.next_offset
                for row in connection.execute(select(stream_offsets))
            }
        return all(stored.get(partition, 0) >= end for partition, end in ends.items())

    def has_verdicts(self, identities: Collection[Identity]) -> bool:
        """Whether each of these readings has one."""
        batches = [verdict_codec.decode(one.value) for one in self.messages(topics.VERDICTS)]
        judged = {(each.machine_id, one.timestamp_ms) for each in batches for one in each.verdicts}
        return judged.issuperset(identities)

    def has_stored(self, identities: Collection[Identity]) -> bool:
        """Whether each of these readings is stored."""
        with self._database.transaction() as connection:
            rows = connection.execute(select(readings.c.machine_id, readings.c.timestamp))
            return {(row.machine_id, row.timestamp) for row in rows}.issuperset(identities)

    def messages(self, topic: Topic) -> list[Message]:
        """All of a topic, partition by partition."""
        return [one for messages in self._partitions([topic]).values() for one in messages]

    def observe(self, model_name: str) -> Observed:
        """All of it."""
        with self._database.transaction() as connection:
            rows = [
                Row(row.machine_id, row.timestamp, row.machine_type, row.sensors)
                for row in connection.execute(select(readings))
            ]
            counts = {row.machine_id: row.readings for row in connection.execute(select(machines))}
            stored_verdicts = [
                to_stored_verdict(row) for row in connection.execute(select(verdicts)).mappings()
            ]
            stored_alarms = [to_alarm(row) for row in connection.execute(select(alarms)).mappings()]
            stored_events = [
                AlarmEvent(event_id=row.event_id, kind=AlarmEventKind(row.kind), alarm=row.alarm)
                for row in connection.execute(select(alarm_events))
            ]
        return Observed(
            readings=self.messages(topics.READINGS),
            letters=self.messages(topics.READINGS_DLQ),
            verdicts=self.messages(topics.VERDICTS),
            alarms=self.messages(topics.ALARMS),
            rows=rows,
            counts=counts,
            stored_verdicts=stored_verdicts,
            stored_alarms=stored_alarms,
            stored_events=stored_events,
            promotions=self._database.promotion_log().list(model_name, 10_000),
        )

    def _partitions(self, of: Sequence[Topic]) -> dict[Partition, list[Message]]:
        return {
            partition: list(self._broker.read(partition))
            for topic in of
            for number in range(topic.partitions)
            for partition in [Partition(topic.name, number)]
        }
