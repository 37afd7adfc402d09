"""The dead-letter topic: messages that were refused, unchanged, with the reason in their headers.

At least once: after a crash between the letter and the transaction that passes its message, the
letter is there twice, with the same source offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from faultline import topics
from faultline.dead_letters import letter_headers
from faultline.errors import Overloaded
from faultline.ports.broker import Delivery, Message, Producer
from faultline.ports.clock import Clock
from services.ingest.recorder.metrics import RecorderMetrics

_DELIVERY_S = 30.0


@dataclass
class DeadLetter:
    """A message that was refused.

    Attributes
    ----------
    reason, detail, positions
        As in `faultline.dead_letters.Letter`.
    sent
        True once the broker has it.
    """

    message: Message
    reason: str
    detail: str
    positions: Sequence[int] = ()
    sent: bool = field(default=False, compare=False)


class DeadLetterQueue:
    """Writes dead letters and makes sure that they have arrived."""

    def __init__(self, producer: Producer, clock: Clock, metrics: RecorderMetrics) -> None:
        self._producer = producer
        self._clock = clock
        self._metrics = metrics

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return once the broker has them; those that it has already are not sent again.

        Raises
        ------
        Unavailable
            When it has not got all of them. Calling again goes on with the rest.
        """
        under_way: list[tuple[DeadLetter, Delivery]] = []
        for letter in letters:
            if letter.sent:
                continue
            try:
                delivery = self._send(letter)
            except Overloaded:
                self._settle(under_way)
                under_way = []
                delivery = self._send(letter)
            under_way.append((letter, delivery))
        self._settle(under_way)

    def _send(self, letter: DeadLetter) -> Delivery:
        return self._producer.send(
            topics.READINGS_DLQ.name,
            letter.message.key,
            letter.message.value,
            letter_headers(
                letter.message,
                letter.reason,
                letter.detail,
                letter.positions,
                self._clock.now_ms(),
            ),
        )

    def _settle(self, under_way: Sequence[tuple[DeadLetter, Delivery]]) -> None:
        for letter, delivery in under_way:
            delivery.wait(_DELIVERY_S)
            letter.sent = True
            self._metrics.dead_letters.labels(letter.reason).inc()
