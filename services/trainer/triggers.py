"""What starts trainings by itself: a due schedule, enough new readings, and what was put off.

Knows the log of triggers and the time. Drift comes from the stream: see `drift_listener`.
"""

from __future__ import annotations

import threading

from faultline.events import model_name
from faultline.ports.clock import Clock
from faultline.ports.jobs import TrainingRequest
from faultline.ports.registry import ModelRegistry
from faultline.ports.triggers import NewReadings, Occasion, Trigger, TriggerKind, TriggerLog
from faultline.readings import format_timestamp
from faultline.service import repeating
from faultline.telemetry import logger
from services.trainer.metrics import Metrics
from services.trainer.schedule import Schedules
from services.trainer.succession import gathers

log = logger(__name__)

_REQUESTED_BY = "trainer"
_STARTED = "started"
_LONGEST_DETAIL = 2_000


class Triggers:
    """Has occasions decided, and tells what became of them.

    Parameters
    ----------
    cooldown_s
        Between two trainings of a type that are started by themselves.
    challenger_wait_s
        For so long since its registration nothing but drift takes the place of a version that
        gathers live readings.
    """

    def __init__(
        self,
        triggers: TriggerLog,
        registry: ModelRegistry,
        metrics: Metrics,
        clock: Clock,
        *,
        cooldown_s: float,
        challenger_wait_s: float,
    ) -> None:
        self._log = triggers
        self._registry = registry
        self._metrics = metrics
        self._clock = clock
        self._cooldown_ms = round(cooldown_s * 1000)
        self._challenger_wait_ms = round(challenger_wait_s * 1000)

    def decide(self, occasion: Occasion, before: Trigger | None = None) -> None:
        """Start a training of the type, or say why not; again changes nothing.

        Parameters
        ----------
        before
            By which it was put off, or started a training that failed; None the first time.

        Raises
        ------
        Unavailable
            When the store or the registry does not answer.
        """
        put_off = "" if before is None else f"; {_earlier(before)}"
        request = TrainingRequest(
            machine_type=occasion.machine_type,
            requested_by=_REQUESTED_BY,
            trigger=occasion.kind.value,
            trigger_detail=occasion.detail[: _LONGEST_DETAIL - len(put_off)] + put_off,
        )
        trigger = self._log.decide(
            occasion,
            request,
            self._clock.now_ms(),
            self._cooldown_ms,
            challenger_waits=self._challenger_waits(occasion),
        )
        if trigger is None:
            return
        told = {
            "machine_type": occasion.machine_type,
            "trigger": occasion.kind.value,
            "detail": occasion.detail,
            "attempt": trigger.attempt,
        }
        if trigger.suppressed is None:
            log.info("training started by itself", **told, job=trigger.job_id)
        else:
            log.info("training not started", **told, why=trigger.suppressed.value)
        outcome = _STARTED if trigger.suppressed is None else trigger.suppressed.value
        self._metrics.triggers.labels(occasion.kind.value, outcome).inc()

    def _challenger_waits(self, occasion: Occasion) -> bool:
        """Whether a training would take its place from a version that gathers live readings."""
        if occasion.kind is TriggerKind.DRIFT:
            # What learnt from before the drift is no longer worth waiting for.
            return False
        challenger = self._registry.staging(model_name(occasion.machine_type))
        if challenger is None or not gathers(challenger):
            return False
        return self._clock.now_ms() - challenger.created_at_ms < self._challenger_wait_ms


def _earlier(before: Trigger) -> str:
    if before.suppressed is None:
        return f"the training that it started before failed ({before.job_id})"
    return f"put off before ({before.suppressed})"


class Watch:
    """Looks again and again whether something starts a training, be it later than it came up.

    Parameters
    ----------
    on_drift
        Whether drift that was put off starts one.
    new_rows
        So many readings since the last training of a type are enough; 0 is never.
    every_s
        Between two looks.
    """

    def __init__(
        self,
        triggers: Triggers,
        trigger_log: TriggerLog,
        clock: Clock,
        *,
        schedules: Schedules,
        new_rows: int,
        on_drift: bool,
        every_s: float,
    ) -> None:
        self._triggers = triggers
        self._log = trigger_log
        self._clock = clock
        self._schedules = schedules
        self._new_rows = new_rows
        self._on_drift = on_drift
        self._every_s = every_s
        self._last_due_ms: dict[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop. A store that is down is waited for."""
        repeating(self.look, stop, self._every_s, "nothing can start trainings by itself")

    def look(self) -> None:
        """Look at what was put off, and at every machine type that has readings.

        Raises
        ------
        Unavailable
            When the store does not answer; the next look goes on.
        """
        for before in self._log.put_off():
            if self._is_wanted_yet(before.occasion):
                self._triggers.decide(before.occasion, before)
        for machine_type, new in self._log.new_readings().items():
            self._look_at_schedule(machine_type)
            if self._new_rows and new.rows >= self._new_rows:
                self._triggers.decide(self._enough(machine_type, new))

    def _is_wanted_yet(self, occasion: Occasion) -> bool:
        """Whether the settings still ask for what was put off."""
        if occasion.kind is TriggerKind.DRIFT:
            return self._on_drift
        return self._schedules.of(occasion.machine_type) is not None

    def _look_at_schedule(self, machine_type: str) -> None:
        """Only the last time that it was due counts: of what was missed, one is made up for."""
        schedule = self._schedules.of(machine_type)
        if schedule is None:
            return
        now_ms = self._clock.now_ms()
        due_ms = schedule.last_due_ms(now_ms)
        if self._last_due_ms.get(machine_type) == due_ms:
            return
        if due_ms > self._log.scheduled_since(machine_type, schedule.text, now_ms):
            due = format_timestamp(due_ms)
            self._triggers.decide(
                Occasion(
                    machine_type=machine_type,
                    kind=TriggerKind.SCHEDULE,
                    slot=due,
                    since_ms=due_ms,
                    detail=f"schedule {schedule.text} (UTC), due {due}",
                )
            )
        self._last_due_ms[machine_type] = due_ms

    def _enough(self, machine_type: str, new: NewReadings) -> Occasion:
        # Where a training that this starts is cancelled, as many again make the next occasion.
        times = new.rows // self._new_rows
        since = "the last training" if new.job_id else "the first one"
        return Occasion(
            machine_type=machine_type,
            kind=TriggerKind.NEW_DATA,
            slot=f"{new.job_id or 'first'}/{times}",
            since_ms=self._clock.now_ms(),
            detail=f"{new.rows:,} readings since {since}, {self._new_rows:,} are enough",
        )
