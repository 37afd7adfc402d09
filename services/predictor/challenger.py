"""The challenger in the shadow: a second version scores what was judged, and both are compared.

After the verdicts are published, in a loop of its own that stands aside while a batch is judged: no
verdict waits for it. What it cannot keep up with is dropped and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from faultline import comparisons, topics
from faultline.alarms import AlarmEvent, AlarmEventKind, AlarmPolicy, AlarmTracker
from faultline.comparisons import Comparison, Pair
from faultline.detector import Window
from faultline.errors import FaultlineError
from faultline.judge import KEPT_ROWS, Explanation, Model, judge
from faultline.machine_state import Adapted, MachineState
from faultline.ports.broker import Broker, Partition, Producer
from faultline.ports.clock import Clock
from faultline.telemetry import logger
from services.predictor.backlog import Backlog, ToCompare
from services.predictor.metrics import Metrics
from services.predictor.older_rows import OlderRows, preceded_by
from services.predictor.tally import Tally

log = logger(__name__)

_WITHOUT_CONTRIBUTIONS = Explanation(min_score=float("inf"), sensors=0)
_FLUSH_S = 10.0
_TURN_S = 0.2
_ASIDE_S = 1.0


_Identity = tuple[str, str, str]
"""Name, number and sum of a version."""


class _Own(NamedTuple):
    """What the shadow remembers of a machine. The window is the stream's where that is enough."""

    partition: Partition
    model: _Identity
    adapted: Adapted | None
    alarms: AlarmTracker
    window: Window | None


class Challenger:
    """Scores with the version that does not answer, and counts how both do.

    Parameters
    ----------
    queue_readings
        Readings that wait, at most.
    tell_s
        Between two times that the counts are published.
    older_rows
        Fills the windows of a version that looks back further than the stream keeps, so that after
        a restart it need not wait for as many readings; None where none are filled.
    """

    def __init__(
        self,
        broker: Broker,
        policy: AlarmPolicy,
        *,
        metrics: Metrics,
        clock: Clock,
        queue_readings: int,
        tell_s: float,
        older_rows: OlderRows | None = None,
    ) -> None:
        self._broker = broker
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._tell_s = tell_s
        self._older_rows = older_rows
        self._backlog = Backlog(queue_readings)
        self._lock = threading.Lock()
        self._aside = threading.Event()
        self._aside.set()
        self._own: dict[str, _Own] = {}
        self._in_hand: ToCompare | None = None
        self._tallies: dict[Pair, Tally] = {}
        self._told: dict[Pair, int] = {}
        self._told_at_s = clock.monotonic_s()
        self._in_trouble = False
        self._is_failing = False

    # What the stream calls: it never waits -----------------------------------------------------

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Begin with no other machine's readings meanwhile: the stream needs the processor."""
        self._aside.clear()
        try:
            yield
        finally:
            self._aside.set()

    def offer(self, judged: Sequence[ToCompare]) -> None:
        """Have readings scored by the other version, as far as there is room."""
        dropped = self._backlog.put(judged)
        if dropped:
            self._metrics.challenger_readings.labels("dropped").inc(dropped)

    def forget(self, partitions: Collection[Partition] | None = None) -> None:
        """Let go of the machines of partitions, of all when None, and of what waits of them.

        Whoever has them next may judge it again: it is not to be counted twice.
        """
        with self._lock:
            dropped = self._backlog.drop(partitions)
            in_hand = self._in_hand
            if in_hand is not None and (partitions is None or in_hand.partition in partitions):
                # It is being scored in the loop's thread: what comes of it is of nobody any more.
                self._in_hand = None
                dropped += len(in_hand.readings)
            self._own = {
                machine_id: own
                for machine_id, own in self._own.items()
                if partitions is not None and own.partition not in partitions
            }
        self._metrics.challenger_readings.labels("dropped").inc(dropped)

    def carried_over(self, machine_id: str, state: MachineState, model: Model) -> MachineState:
        """A machine's state with what the version has of it from the shadow, once it answers.

        A longer window goes on. Of what was learnt, a lasting new state that had become normal
        does: without it the machine would alarm anew. The rest begins anew, as with any version,
        so that a verdict can be given again from what is stored.
        """
        own = self._own.get(machine_id)
        if own is None or own.model != _identity(model):
            return state
        if own.window is not None:
            state = replace(state, window=preceded_by(state.window, own.window))
        learnt = own.adapted
        if learnt is None or learnt.adaptation.new_normal is None:
            return state
        if state.adapted is not None and state.adapted.version == learnt.version:
            return state
        return replace(state, adapted=learnt)

    # The loop ----------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Score and tell until told to stop."""
        producer: Producer | None = None
        while True:
            stopping = stop.is_set()
            if not stopping and not self.step():
                stop.wait(_TURN_S)
            if stopping or self._clock.monotonic_s() - self._told_at_s >= self._tell_s:
                producer = self._tell(producer)
            if stopping:
                break
        if producer is not None:
            producer.close()

    def step(self) -> bool:
        """Score the readings whose turn it is; False when there are none."""
        # Not for ever: where the stream never rests, a little is compared all the same.
        self._aside.wait(_ASIDE_S)
        with self._lock:
            judged = self._in_hand = self._backlog.take()
        self._metrics.waiting_for_challenger.set(self._backlog.size)
        if judged is None:
            return False
        try:
            self._score(judged)
        except Exception as error:
            # A version that chokes on what another scores must not end the one that answers.
            self._metrics.challenger_readings.labels("failed").inc(len(judged.readings))
            if not self._is_failing:
                log.exception("challenger cannot score", why=str(error))
            self._is_failing = True
        else:
            self._is_failing = False
        finally:
            self._in_hand = None
        return True

    def counts(self) -> list[Comparison]:
        """The counts of this process."""
        return [tally.value() for tally in tuple(self._tallies.values())]

    def _score(self, judged: ToCompare) -> None:
        machine_id, contest = judged.readings[0].machine_id, judged.contest
        model, pair = contest.in_the_shadow(machine_id), contest.pair
        if model is None or pair is None:
            return
        own = self._own.get(machine_id)
        if own is not None and own.model != _identity(model):
            own = None
        before = _state(judged.before, own)
        older = None if self._older_rows is None else self._older_rows.take(machine_id)
        if older is not None and before is not None:
            before = replace(before, window=preceded_by(before.window, older))
        judgement = judge(model, before, judged.readings, self._policy, _WITHOUT_CONTRIBUTIONS)
        state = judgement.state
        answering = contest.answering(machine_id)
        kept_by_stream = KEPT_ROWS if answering is None else answering.detector.rows_needed + 1
        needs_own = model.detector.rows_needed + 1 > max(KEPT_ROWS, kept_by_stream)
        with self._lock:
            if self._in_hand is not judged:
                return
            self._in_hand = None
            self._own[machine_id] = _Own(
                judged.partition,
                _identity(model),
                state.adapted,
                state.alarms,
                state.window if needs_own else None,
            )
        if self._older_rows is not None and needs_own:
            self._older_rows.ask(machine_id, state.window, model)
        given = (judged.verdicts, _opened(judged.alarm_events))
        shadow = (judgement.batch.verdicts, _opened(judgement.alarm_events))
        ones, others = (shadow, given) if model is contest.champion else (given, shadow)
        now_ms = self._clock.now_ms()
        tally = self._tally(pair, now_ms)
        compared = tally.add(ones[0], others[0], ones[1], others[1], now_ms)
        count = self._metrics.challenger_readings
        count.labels("compared").inc(compared)
        count.labels("unscored").inc(len(judged.readings) - compared)

    def _tally(self, pair: Pair, now_ms: int) -> Tally:
        if pair not in self._tallies:
            self._tallies = {**self._tallies, pair: Tally(pair, now_ms)}
        return self._tallies[pair]

    def _tell(self, producer: Producer | None) -> Producer | None:
        """Publish the counts that have grown; while the broker is down they only grow further."""
        self._told_at_s = self._clock.monotonic_s()
        grown = [one for one in self.counts() if one.readings > self._told.get(one.pair, 0)]
        if not grown:
            return producer
        try:
            if producer is None:
                producer = self._broker.producer()
            for one in grown:
                key = one.model_name.encode()
                producer.send(topics.MODEL_COMPARISONS.name, key, comparisons.encode(one))
            producer.flush(_FLUSH_S)
        except FaultlineError as error:
            if not error.retriable:
                raise
            if not self._in_trouble:
                log.warning("comparisons cannot be published; counting goes on", why=str(error))
            self._in_trouble = True
            if producer is not None:
                producer.close()
            return None
        self._in_trouble = False
        self._told.update({one.pair: one.readings for one in grown})
        self._drop_former()
        return producer

    def _drop_former(self) -> None:
        """Let go of counters whose model has a newer pair: their counts are told."""
        newest = {pair.model_name: pair for pair in self._tallies}
        current = set(newest.values())
        self._tallies = {pair: kept for pair, kept in self._tallies.items() if pair in current}
        self._told = {pair: kept for pair, kept in self._told.items() if pair in current}


def _identity(model: Model) -> _Identity:
    return model.name, model.version, model.bundle_sha256


def _state(before: MachineState | None, own: _Own | None) -> MachineState | None:
    """What the second version scores from: the stream's window, and what is its own."""
    if own is None:
        # As the stream left it: no advantage for either. What another version has learnt in it,
        # judging passes over.
        return before
    if before is None:
        return MachineState(alarms=own.alarms, adapted=own.adapted)
    window = before.window
    if own.window is not None:
        window = preceded_by(window, own.window)
    return replace(before, window=window, alarms=own.alarms, adapted=own.adapted)


def _opened(events: Sequence[AlarmEvent]) -> set[int]:
    return {event.alarm.opened_at_ms for event in events if event.kind is AlarmEventKind.OPENED}
