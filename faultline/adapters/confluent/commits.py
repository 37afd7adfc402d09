"""Commits offsets of a group within a time limit, which librdkafka's own commit has not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException

from faultline.adapters.confluent.messages import places
from faultline.ports.broker import Partition


class Commits:
    """The commits of one client, one at a time.

    librdkafka's waits for as long as the coordinator is away, however long that is; it is waited
    for in a thread, which stays behind when time is up. Until it ends, every other call of the
    client would wait for it: confluent-kafka lets one in at a time.
    """

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._under_way: threading.Thread | None = None

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit and wait for the answer, not for ever; raises `KafkaException`."""
        failures: list[KafkaException] = []

        def work() -> None:
            try:
                self.commit_from_callback(offsets)
            except KafkaException as error:
                failures.append(error)

        self._under_way = threading.Thread(target=work, name="kafka-commit", daemon=True)
        self._under_way.start()
        self._under_way.join(self._timeout_s)
        if self.stuck:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if failures:
            raise failures[0]

    def commit_from_callback(self, offsets: Mapping[Partition, int]) -> None:
        """Commit within a poll, which no other thread's call could join in.

        Without a limit: who is asked to give partitions back has just heard of the coordinator.
        """
        for place in self._client.commit(offsets=places(offsets), asynchronous=False):
            if place.error is not None:
                raise KafkaException(place.error)

    @property
    def stuck(self) -> bool:
        """Whether one that was given up is still under way."""
        return self._under_way is not None and self._under_way.is_alive()

    def afterwards(self, do: Callable[[], None]) -> None:
        """Do something once the one that is under way has ended, without waiting for it."""
        stuck = self._under_way
        assert stuck is not None

        def work() -> None:
            stuck.join()
            do()

        threading.Thread(target=work, name="kafka-commit-end", daemon=True).start()
