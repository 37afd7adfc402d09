"""A scenario's readings as feeds: the history at full speed, the live part at its tempo.

Knows sinks; what is behind them, it does not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from faultline.demo.feed import Feed, Feeds
from faultline.demo.scenario import Scenario
from faultline.demo.tempo import Tempo
from faultline.ports.clock import Clock
from faultline.readings import Reading
from faultline.sources.pace import FULL_SPEED, paced
from faultline.sources.sink import Sink

# While the second version is late, live readings come so much slower.
_SLOWED = 1 / 30
# While it is in the shadow too: there is time to see it there, and still a stream to promote it in.
_IN_THE_SHADOW = 1 / 4


class Playback:
    """Makes the feeds of one scenario.

    Parameters
    ----------
    http, topic
        The two ways into the stack.
    """

    def __init__(self, scenario: Scenario, http: Sink, topic: Sink, clock: Clock) -> None:
        self._scenario = scenario
        self._http = http
        self._topic = topic
        self._clock = clock
        self._stop = threading.Event()

    def history(self) -> Feeds:
        """Everything before the live part, as fast as it is taken."""
        return self._feeds(
            "history",
            self._scenario.history,
            lambda readings: paced(readings, FULL_SPEED, self._clock),
        )

    def live(self, trained: Callable[[], bool], settled: Callable[[], bool]) -> Feeds:
        """The live part.

        Parameters
        ----------
        trained
            Whether the training of the second version has ended. From then on readings never wait:
            it is compared on them.
        settled
            Whether the second version is in, or will not come. As long as it is late, readings
            slow down and then wait, so that the last of them are judged by it.
        """
        return self._feeds(
            "live", self._scenario.live, lambda readings: self._at_tempo(readings, trained, settled)
        )

    def stop(self) -> None:
        """Wake the live feeds if they wait, for good."""
        self._stop.set()

    def _feeds(
        self,
        name: str,
        readings: Callable[[], Iterator[Reading]],
        pace: Callable[[Iterable[Reading]], Iterable[Sequence[Reading]]],
    ) -> Feeds:
        by_http = self._scenario.by_http
        over_http = (reading for reading in readings() if reading.machine_id in by_http)
        to_topic = (reading for reading in readings() if reading.machine_id not in by_http)
        return Feeds(
            [
                Feed(f"{name} by HTTP", pace(over_http), self._http),
                Feed(f"{name} to the topic", pace(to_topic), self._topic),
            ]
        )

    def _at_tempo(
        self,
        readings: Iterable[Reading],
        trained: Callable[[], bool],
        settled: Callable[[], bool],
    ) -> Iterator[Sequence[Reading]]:
        come_to_ms = 0

        def rate() -> float:
            if settled() or come_to_ms < self._scenario.slow_from_ms:
                return 1.0
            if trained():
                return _IN_THE_SHADOW if come_to_ms < self._scenario.wait_at_ms else _SLOWED
            return _SLOWED if come_to_ms < self._scenario.wait_at_ms else 0.0

        tempo = Tempo(self._clock, rate, self._stop)
        for batch in paced(readings, self._scenario.speed, tempo):
            come_to_ms = batch[-1].timestamp_ms
            yield batch
