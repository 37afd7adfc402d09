"""The gateway's benchmark without its servers: what is sent, and how the table is laid out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.gateway_speed import LEAST_PER_S, Measured, batch, report


def _turn(per_s: float, **cpu_us: float) -> Measured:
    return Measured(per_s, cpu_us, 0.9, 40.0 if "gateway" in cpu_us else None)


def test_a_batch_has_several_machines_each_in_the_order_of_time() -> None:
    readings = batch(40)
    machines = {each.machine_id for each in readings}
    assert (len(readings), len(machines), len({each.identity for each in readings})) == (40, 10, 40)
    for machine in machines:
        own = [each.timestamp_ms for each in readings if each.machine_id == machine]
        assert all(before < after for before, after in pairwise(own))


@pytest.mark.parametrize(("best", "said"), [(LEAST_PER_S, "met"), (LEAST_PER_S - 1, "MISSED")])
def test_the_aim_is_judged_by_the_median_of_the_gateways_best_row(best: float, said: str) -> None:
    found = {
        "gateway, 100 in a request": [_turn(1_000.0, gateway=30.0, kafka=20.0, client=3.0)] * 3,
        "gateway, 5,000 in a request": [
            _turn(per_s, gateway=8.0, kafka=4.0, client=0.5) for per_s in (1.0, best, 1e9)
        ],
        "kafka-python alone, messages ready made": [_turn(1e9, kafka=3.0, client=2.0)] * 3,
    }
    text, met = report(found)
    assert (met, f"aim {said}" in text) == (said == "met", True)
    assert f"{best:,.0f}" in text
