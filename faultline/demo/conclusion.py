"""Draws everything that was seen together, from the stores and the registry, once all is there."""

from __future__ import annotations

from collections.abc import Mapping

from faultline.demo.host_fault import HostFault
from faultline.demo.lifecycle import RollbackReport
from faultline.demo.live_part import LiveOutcome
from faultline.demo.observation import (
    ALL_ROWS,
    Way,
    alarm_report,
    fault_reports,
    host_report,
    load_models,
    machine_report,
    read_record,
    recomputed_reports,
    version_reports,
    window_ms,
)
from faultline.demo.report import Observed, ThroughputReport
from faultline.demo.scenario import Scenario
from faultline.events import model_name
from faultline.matching import match
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore
from faultline.sources.host import HOST_TYPE


def conclude(
    scenario: Scenario,
    store: FleetStore,
    registry: ModelRegistry,
    *,
    ways: Mapping[str, Way],
    host_fault: HostFault,
    throughput: ThroughputReport,
    live: LiveOutcome,
    rollback: RollbackReport,
) -> Observed:
    """Read every machine's readings, verdicts and alarms, and every version, and compare them.

    Parameters
    ----------
    ways
        What was sent, by machine.
    host_fault
        Is over, so that its truth is known.
    """
    host_id = host_fault.label.machine_id
    name, host_name = model_name(scenario.machine_type), model_name(HOST_TYPE)
    records = {machine_id: read_record(store, machine_id) for machine_id in sorted(ways)}
    fleet = [record for machine_id, record in records.items() if machine_id != host_id]
    models, host_models = load_models(registry, name), load_models(registry, host_name)
    grace_ms = {
        scenario.machine_type: window_ms(models, fleet),
        HOST_TYPE: window_ms(host_models, [records[host_id]]),
    }
    alarms = sorted(
        store.alarms(limit=ALL_ROWS), key=lambda alarm: (alarm.opened_at_ms, alarm.machine_id)
    )
    fleet_alarms = [alarm for alarm in alarms if alarm.machine_id != host_id]
    matching = match(scenario.faults, fleet_alarms, grace_ms)
    return Observed(
        machines=tuple(
            machine_report(ways[machine_id], record) for machine_id, record in records.items()
        ),
        alarms=tuple(alarm_report(alarm) for alarm in fleet_alarms),
        faults=fault_reports(matching, scenario.expected),
        false_alarms=tuple(alarm_report(alarm) for alarm in matching.false_alarms),
        quiet_machines=scenario.quiet_machines,
        versions=version_reports(
            registry,
            (name, host_name),
            (one for record in records.values() for one in record.verdicts),
        ),
        recomputed=(
            *recomputed_reports(fleet, models),
            *recomputed_reports([records[host_id]], host_models),
        ),
        throughput=throughput,
        refusal=live.refusal,
        comparison=live.comparison,
        reload=live.reload(),
        rollback=rollback,
        host=host_report(
            records[host_id],
            [alarm for alarm in alarms if alarm.machine_id == host_id],
            host_fault,
            grace_ms[HOST_TYPE],
        ),
    )
