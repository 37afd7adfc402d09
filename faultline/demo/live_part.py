"""The live part: readings stream, and meanwhile versions come in and this machine is put to a test.

It lets things happen; what should have come out is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from faultline import labels, topics
from faultline.client import Comparison, Job
from faultline.demo.feed import Feed, Feeds
from faultline.demo.host_fault import HostFault
from faultline.demo.ledger import Ledger
from faultline.demo.lifecycle import RefusalReport, ReloadReport
from faultline.demo.narrator import Narrator
from faultline.demo.parts import Parts
from faultline.demo.playback import Playback
from faultline.demo.rollout import Rollout
from faultline.demo.scenario import Scenario
from faultline.demo.second_version import SecondVersion
from faultline.demo.training import Training
from faultline.demo.worse_candidate import WorseCandidate
from faultline.labels import FaultLabel
from faultline.ports.clock import Clock
from faultline.sources.host import HOST_TYPE

_LOOP_S = 0.1
_FLUSH_S = 30.0
# This machine has no load cycle to look for. The gate asks for 200 windows.
_HOST_WINDOW_ROWS = 10
_HOST_ROWS = 240
NEVER_MS = 1 << 62


@dataclass(frozen=True)
class LiveOutcome:
    """What the live part came to.

    Attributes
    ----------
    sent
        Readings per machine, this one not among them.
    refusal
        What became of the worse candidate.
    comparison
        The second version in the shadow; None when it was not compared.
    reload
        Tells how the second version came in, once all that was sent is judged.
    host_before_version_ms
        Timestamp of the last reading of this machine sent before its version was live; `NEVER_MS`
        if it never was.
    """

    sent: Counter[str]
    refusal: RefusalReport
    comparison: Comparison | None
    reload: Callable[[], ReloadReport]
    host_before_version_ms: int


class LivePart:
    """Plays it once.

    Parameters
    ----------
    host
        The feed of this machine.
    """

    def __init__(
        self,
        scenario: Scenario,
        parts: Parts,
        playback: Playback,
        ledger: Ledger,
        *,
        host: Feed,
        narrator: Narrator,
        clock: Clock,
        patience_s: float,
    ) -> None:
        self._scenario = scenario
        self._parts = parts
        self._playback = playback
        self._ledger = ledger
        self._host = host
        self._narrator = narrator
        self._clock = clock
        self._patience_s = patience_s
        # Starting the stack is no normal running: what this machine shows until now is left out.
        self._begin_ms = clock.now_ms()
        self._host_sent_before = host.sent.total()

    def play(self, first_version: str, host_fault: HostFault) -> LiveOutcome:
        """Send the live readings; return when they are through and all has happened."""
        self._send_labels([fault.label for fault in self._scenario.faults])
        feeds = self._playback.live(lambda: second.trained, lambda: second.settled)
        worse = WorseCandidate(
            self._scenario,
            trainer=self._parts.trainer,
            predictor=self._parts.predictor,
            clock=self._clock,
        )
        second = self._second_version(first_version, worse, feeds)
        feeds.start()
        try:
            # Nothing else is to be done here for a moment.
            self._parts.open_registry()
            with host_fault:
                host_before_ms = self._watch(feeds, worse, second, host_fault)
        finally:
            self._playback.stop()
            feeds.stop()
        self._send_labels([host_fault.label])
        assert worse.report is not None, "the second version waits for it"
        return LiveOutcome(
            feeds.sent, worse.report, second.comparison, second.report, host_before_ms
        )

    def _watch(
        self, feeds: Feeds, worse: WorseCandidate, second: SecondVersion, host_fault: HostFault
    ) -> int:
        first_of_host = self._first_of_host()
        host_before_ms = NEVER_MS
        while feeds.running or not second.settled or not host_fault.over:
            self._host.check()
            self._tell(worse.advance())
            self._tell(first_of_host.advance())
            if first_of_host.live_version and host_before_ms == NEVER_MS:
                host_before_ms = max(self._host.last_ms.values())
            self._tell(second.advance(feeds.come_to_ms, feeds.sent.total()))
            # After the trainings: a burdened machine would only draw them out.
            if first_of_host.settled and second.settled:
                self._tell(host_fault.advance())
            self._clock.sleep(_LOOP_S)
        return host_before_ms

    def _first_of_host(self) -> Rollout:
        def seen_enough() -> bool:
            return self._host.sent.total() - self._host_sent_before >= _HOST_ROWS

        def ask() -> Job:
            return self._parts.trainer.train(
                HOST_TYPE,
                start_ms=self._begin_ms,
                hyperparameters={"window_rows": _HOST_WINDOW_ROWS},
                requested_by="demo",
            )

        training = Training(
            HOST_TYPE, due=seen_enough, ask=ask, trainer=self._parts.trainer, clock=self._clock
        )
        return Rollout(HOST_TYPE, training, self._parts.predictor, self._clock)

    def _second_version(
        self, first_version: str, worse: WorseCandidate, feeds: Feeds
    ) -> SecondVersion:
        asked: Counter[str] = Counter()

        def stored() -> bool:
            if not asked:
                asked.update(self._ledger.sent + feeds.sent)
            return worse.settled and self._ledger.stored(asked)

        return SecondVersion(
            self._scenario,
            first_version,
            trainer=self._parts.trainer,
            predictor=self._parts.predictor,
            heard=self._parts.heard,
            stored=stored,
            clock=self._clock,
            patience_s=self._patience_s,
        )

    def _send_labels(self, known: Sequence[FaultLabel]) -> None:
        for label in known:
            key = label.machine_id.encode()
            self._parts.producer.send(topics.LABELS.name, key, labels.encode(label))
        self._parts.producer.flush(_FLUSH_S)

    def _tell(self, news: str | None) -> None:
        if news:
            self._narrator.say(news)
