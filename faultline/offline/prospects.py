"""What is to be expected of a fit: false alarms, and what it finds of injected faults."""

from __future__ import annotations

from typing import Any

from faultline.detector.evaluation import FaultResult, NotEvaluated
from faultline.offline.block import Block
from faultline.offline.training import Learnt
from faultline.offline.wording import duration, percent

_INJECTED = "injected faults"
_DAY_S = 86_400.0
# So many times the rate asked for is no chance of a short history.
_FAR_ABOVE = 3.0


def false_alarms(learnt: Learnt) -> Block:
    """What the held-out history lets one expect."""
    expected = learnt.expected_alarms()
    lines = [
        f"{percent(expected.row_rate, 2)} of the held-out windows score above 1.0",
        f"as alarms: {_seen(expected.alarms, expected.machine_days)}",
    ]
    asked = learnt.config.false_alarm_rate
    if expected.row_rate > _FAR_ABOVE * asked:
        lines.append(
            f"warning: that is {expected.row_rate / asked:.0f} times the {percent(asked, 2)} asked "
            "for: parts of the history are unlike the rest. Leave out rows of faults and start-ups "
            "(name them in a column `fault`), or give a longer history in which every way of "
            "running comes several times"
        )
    content = {
        "asked_rate": asked,
        "held_out_rate": expected.row_rate,
        "held_out_alarms": expected.alarms,
        "machine_days": expected.machine_days,
    }
    return Block("false alarms", lines, "false_alarms_expected", content)


def injected_faults(learnt: Learnt) -> Block:
    """What it finds of faults injected into a part of the history that it did not learn from."""
    report = learnt.evaluation
    if isinstance(report, NotEvaluated):
        content: dict[str, Any] = {"not_evaluated": report.reason}
        return Block(_INJECTED, [f"not evaluated: {report.reason}"], "injected_faults", content)
    lines = [_found(result) for result in report.by_kind]
    lines.append(f"false alarms meanwhile: {_seen(report.false_alarms, report.machine_days)}")
    lines.append("measured on the last fifth, by a detector that was fitted without it")
    return Block(_INJECTED, lines, "injected_faults", report.as_dict())


def _found(result: FaultResult) -> str:
    kind = result.kind.replace("_", " ")
    if result.recall is None:
        return f"{kind}: none could be injected"
    found = f"{kind}: {percent(result.recall)} of {result.trials} found"
    if result.delay_s is None:
        return found
    late = f"after {duration(result.delay_s)}" if result.delay_s else "at once"
    return f"{found}, typically {late}"


def _seen(alarms: int, machine_days: float) -> str:
    """Alarms and the time they were seen in; a rate only where that is a day or more."""
    told = f"{alarms or 'none'} in {duration(machine_days * _DAY_S)} of held-out running"
    if not alarms or machine_days < 1:
        return told
    return f"{told}, {alarms / machine_days:.2g} per machine-day"
