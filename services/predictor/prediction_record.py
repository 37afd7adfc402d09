"""Keeps the predictions made over HTTP for the prediction log, out of the way of the answers.

A request only appends to a bounded queue; a loop of its own hands over. What does not fit, or is
refused, is dropped and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from faultline.errors import FaultlineError, Unavailable
from faultline.ports.clock import Clock
from faultline.ports.predictions import Prediction, PredictionLog
from faultline.readings import Reading
from faultline.telemetry import logger
from services.predictor.fleet import Judged
from services.predictor.metrics import Metrics

log = logger(__name__)

Predict = Callable[[Sequence[Reading]], Sequence[Judged]]

_TURN_S = 0.2
_LAST_WORDS_S = 5.0


class _Answered(NamedTuple):
    """What a request leaves behind: nothing is computed before the loop takes it."""

    judged: Judged
    at_ms: int
    took_ms: float
    since_s: float


class PredictionRecord:
    """A queue between the answers and the log.

    Parameters
    ----------
    queue
        Predictions that wait at most.
    every_s
        A batch smaller than the log takes waits so long for more, from its first on.
    retry_s
        After the log could not be reached.
    """

    def __init__(
        self,
        prediction_log: PredictionLog,
        *,
        metrics: Metrics,
        clock: Clock,
        queue: int,
        every_s: float,
        retry_s: float,
    ) -> None:
        self._log = prediction_log
        self._metrics = metrics
        self._clock = clock
        self._most = queue
        self._every_s = every_s
        self._retry_s = retry_s
        self._waiting: deque[_Answered] = deque()
        self._in_trouble = False
        for outcome in ("logged", "dropped", "refused"):
            metrics.logged_predictions.labels(outcome)
        metrics.waiting_predictions.set_function(lambda: len(self._waiting))

    def recorded(self, predict: Predict) -> Predict:
        """The same as `predict`, with its answers put into the queue."""

        def measured(readings: Sequence[Reading]) -> Sequence[Judged]:
            begun_s = self._clock.monotonic_s()
            judged = predict(readings)
            took_ms = 1_000 * (self._clock.monotonic_s() - begun_s)
            self._keep(judged, took_ms / max(1, len(judged)))
            return judged

        return measured

    def _keep(self, judged: Sequence[Judged], took_ms: float) -> None:
        room = max(0, self._most - len(self._waiting))
        at_ms, since_s = self._clock.now_ms(), self._clock.monotonic_s()
        self._waiting.extend(_Answered(each, at_ms, took_ms, since_s) for each in judged[:room])
        if len(judged) > room:
            self._metrics.logged_predictions.labels("dropped").inc(len(judged) - room)

    def run(self, stop: threading.Event) -> None:
        """Hand over until told to stop, then what still waits, if the log takes it soon."""
        while not stop.is_set():
            if not self._is_due():
                stop.wait(_TURN_S)
            elif not self.hand_over():
                stop.wait(self._retry_s)
        until_s = self._clock.monotonic_s() + _LAST_WORDS_S
        while self._waiting and self._clock.monotonic_s() < until_s:
            if not self.hand_over():
                break
        if self._waiting:
            self._metrics.logged_predictions.labels("dropped").inc(len(self._waiting))
            log.warning("predictions left unlogged at the end", count=len(self._waiting))

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        waited_s = self._clock.monotonic_s() - self._waiting[0].since_s
        return len(self._waiting) >= self._log.most or waited_s >= self._every_s

    def hand_over(self) -> bool:
        """Let the log have the next batch; False when it could not be reached."""
        batch = list(islice(self._waiting, self._log.most))
        try:
            self._log.log([_prediction(each) for each in batch])
        except Unavailable as error:
            if not self._in_trouble:
                log.warning("predictions cannot be logged; they wait", why=str(error))
            self._in_trouble = True
            return False
        except FaultlineError as error:
            log.warning("predictions refused by the log", count=len(batch), why=str(error))
            outcome = "refused"
        else:
            outcome = "logged"
        if self._in_trouble:
            log.info("predictions can be logged again")
        self._in_trouble = False
        self._metrics.logged_predictions.labels(outcome).inc(len(batch))
        for _ in batch:
            self._waiting.popleft()
        return True


def _prediction(answered: _Answered) -> Prediction:
    reading, verdict, model = answered.judged
    return Prediction(
        at_ms=answered.at_ms,
        machine_id=reading.machine_id,
        machine_type=reading.machine_type,
        timestamp_ms=reading.timestamp_ms,
        inputs=reading.sensors,
        status=verdict.status,
        score=verdict.score,
        cluster=verdict.cluster,
        inference_time_ms=answered.took_ms,
        model_name=None if model is None else model.name,
        model_version=None if model is None else model.version,
    )
