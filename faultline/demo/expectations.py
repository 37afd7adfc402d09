"""What a demonstration promises. Pure: from what was observed to what holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from faultline.demo.report import (
    NO_VERSION,
    Expectation,
    MachineReport,
    Observed,
    RecomputedReport,
    machines_counted,
)
from faultline.demo.shadow import comparison_sentence
from faultline.demo.undoing import ROLLBACK_REASON, change_sentence

# Sums over a window may be added up in another order offline; nothing else may differ.
SCORE_TOLERANCE = 1e-9
_ARCHIVED, _PRODUCTION = "Archived", "Production"
_ROLLBACK = "rollback"
# The first version, the second one, and back.
_CHANGES = 3


def judge_expectations(
    observed: Observed, model_name: str, host_model_name: str
) -> tuple[Expectation, ...]:
    """Judge every promise, held or not.

    Parameters
    ----------
    model_name
        Registered model of the machines that a second version is rolled in for.
    host_model_name
        That of the machine the demonstration runs on.
    """
    return (
        _nothing_lost(observed.machines),
        _named(observed.machines),
        _refused(observed),
        _compared(observed),
        _reloaded(observed),
        _rolled_back(observed),
        _stages(observed, model_name),
        _in_production(observed, host_model_name),
        _versions_in_order(observed.machines),
        _faults_found(observed),
        _quiet(observed),
        _recomputed(observed.recomputed),
    )


def _nothing_lost(machines: Sequence[MachineReport]) -> Expectation:
    wrong = [
        f"{machine.machine_id}: {machine.sent} sent, {machine.stored} stored, "
        f"{machine.judged} judged"
        for machine in machines
        if not 0 < machine.sent == machine.stored == machine.judged
    ]
    total = sum(machine.sent for machine in machines)
    return Expectation(
        name="every reading sent is stored once and given one verdict",
        holds=bool(machines) and not wrong,
        detail=_wrong_or(wrong, f"{total:,} readings of {machines_counted(len(machines))}"),
    )


def _named(machines: Sequence[MachineReport]) -> Expectation:
    wrong = [
        f"{machine.machine_id}: {machine.nameless_after_first_version} without"
        for machine in machines
        if machine.nameless_after_first_version
    ]
    named = sum(
        count
        for machine in machines
        for version, count in machine.by_version.items()
        if version != NO_VERSION
    )
    return Expectation(
        name="after version 1 every verdict names a version",
        holds=named > 0 and not wrong,
        detail=_wrong_or(wrong, f"{named:,} verdicts do"),
    )


def _refused(observed: Observed) -> Expectation:
    refusal, champion = observed.refusal, observed.reload.from_version
    held = (refusal.gate, refusal.production, refusal.judging) == ("refused", champion, champion)
    return Expectation(
        name="a worse candidate is refused beside the version in Production, which stays",
        holds=held and f"version {champion} " in refusal.reason,
        detail=(
            f"version {refusal.version} {refusal.gate}: {refusal.reason or 'no reason'}; version "
            f"{refusal.production} in Production, version {refusal.judging} judges"
        ),
    )


def _compared(observed: Observed) -> Expectation:
    found, reload = observed.comparison, observed.reload
    pair = None if found is None else (found.champion_version, found.challenger_version)
    return Expectation(
        name="the challenger is compared in the shadow before it is promoted",
        holds=pair == (reload.from_version, reload.to_version),
        detail="not compared" if found is None else comparison_sentence(found),
    )


def _rolled_back(observed: Observed) -> Expectation:
    rollback, reload = observed.rollback, observed.reload
    back = (reload.to_version, reload.from_version)
    newest = rollback.history[0] if rollback.history else None
    told = "nothing in the history" if newest is None else change_sentence(newest)
    recorded = newest is not None and (
        newest.kind,
        newest.previous_version,
        newest.version,
        newest.reason,
    ) == (_ROLLBACK, *back, ROLLBACK_REASON)
    return Expectation(
        name="a rollback brings the version before back, and the history says who, when and why",
        holds=recorded
        and (rollback.from_version, rollback.to_version) == back
        and rollback.judging == reload.from_version
        and len(rollback.history) == _CHANGES,
        detail=rollback.refusal or f"{told}; {len(rollback.history)} changes in the history",
    )


def _stages(observed: Observed, model_name: str) -> Expectation:
    reload = observed.reload
    stages = {
        version.version: version.stage
        for version in observed.versions
        if version.name == model_name
    }
    shown = ", ".join(f"version {version} {stages[version]}" for version in sorted(stages))
    return Expectation(
        name=f"{model_name}: after the rollback the first version is in Production, alone",
        holds=stages.get(reload.to_version) == _ARCHIVED
        and [each for each, stage in stages.items() if stage == _PRODUCTION]
        == [reload.from_version],
        detail=shown or "no version is registered",
    )


def _in_production(observed: Observed, model_name: str) -> Expectation:
    live = [
        version.version
        for version in observed.versions
        if version.name == model_name and version.stage == _PRODUCTION
    ]
    return Expectation(
        name=f"{model_name}: one version is in Production",
        holds=len(live) == 1,
        detail=f"version {', '.join(live)}" if live else "none is",
    )


def _reloaded(observed: Observed) -> Expectation:
    reload = observed.reload
    judged = {
        version.version: version.verdicts
        for version in observed.versions
        if version.name == reload.model_name
    }
    before, after = judged.get(reload.from_version, 0), judged.get(reload.to_version, 0)
    return Expectation(
        name="the predictor takes over the new version while readings stream, without a gap",
        holds=before > 0
        and after > 0
        and reload.readings_sent_meanwhile > 0
        and reload.seconds_to_first_verdict is not None
        and reload.readings_by_two_versions == 0,
        detail=(
            f"first verdict {_seconds(reload.seconds_to_first_verdict)} after the promotion; "
            f"{before:,} verdicts by version {reload.from_version}, {after:,} by version "
            f"{reload.to_version}, {reload.readings_by_two_versions} readings by both; "
            f"{reload.readings_sent_meanwhile:,} readings were sent meanwhile"
        ),
    )


def _versions_in_order(machines: Sequence[MachineReport]) -> Expectation:
    wrong = [
        f"{machine.machine_id}: {' -> '.join(machine.versions_in_order)}"
        for machine in machines
        if list(machine.versions_in_order) != sorted(set(machine.versions_in_order), key=_age)
    ]
    orders = {machine.versions_in_order for machine in machines}
    shown = "; ".join(" -> ".join(order) for order in sorted(orders))
    return Expectation(
        name="no machine's verdicts go back to an older version",
        holds=not wrong,
        detail=_wrong_or(wrong, shown),
    )


def _age(version: str) -> int:
    return 0 if version == NO_VERSION else int(version)


def _faults_found(observed: Observed) -> Expectation:
    expected = [fault for fault in observed.faults if fault.expected]
    missed = [f"{fault.kind} on {fault.machine_id}" for fault in expected if not fault.detected]
    if not expected:
        return Expectation(
            name="every fault that must be found is",
            holds=True,
            detail="none was declared so; see the faults for what was found",
        )
    return Expectation(
        name="every fault that must be found is",
        holds=not missed,
        detail=_wrong_or(
            [f"missed: {', '.join(missed)}"] if missed else [],
            f"{len(expected)} of {len(expected)}",
        ),
    )


def _quiet(observed: Observed) -> Expectation:
    quiet = set(observed.quiet_machines)
    wrong = [
        f"{alarm.machine_id} at {alarm.opened_at}"
        for alarm in observed.alarms
        if alarm.machine_id in quiet
    ]
    return Expectation(
        name="machines without a fault raise no alarm",
        holds=not wrong,
        detail=_wrong_or(wrong, f"quiet: {', '.join(sorted(quiet)) or 'there is none'}"),
    )


def _recomputed(recomputed: Sequence[RecomputedReport]) -> Expectation:
    wrong = [
        f"{one.machine_id}: {one.differing} differ, scores by up to "
        f"{one.largest_relative_difference:.1e}"
        for one in recomputed
        if one.differing or not one.largest_relative_difference <= SCORE_TOLERANCE
    ]
    scores = sum(one.scores for one in recomputed)
    largest = max((one.largest_relative_difference for one in recomputed), default=0.0)
    return Expectation(
        name="every verdict is wholly of the version it names, recomputed offline",
        holds=scores > 0 and not wrong,
        detail=_wrong_or(
            wrong,
            f"{scores:,} scores of {machines_counted(len(recomputed))} from the registered bundles "
            f"and the stored readings, the largest difference is {largest:.0g}",
        ),
    )


def _seconds(number: float | None) -> str:
    return "never" if number is None else f"{number:.2f} s"


def _wrong_or(wrong: Iterable[str], right: str) -> str:
    return "; ".join(wrong) or right
