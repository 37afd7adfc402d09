"""What a fit says of itself in words: short where there is much to say, and with what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faultline.cli.contributions import told_apart
from faultline.detector import MachineHistory
from faultline.offline import summary
from faultline.offline.label_like import label_like
from faultline.offline.training import Learnt


def moved(times: int) -> str:
    return (
        "drifts: from one stretch of the history to another it moves "
        f"{times} times as much as in a moment"
    )


def test_sensors_that_drift_share_one_line(learnt: Learnt) -> None:
    reasons = {"inlet": moved(7), "outlet": moved(12), "hall": "declared slow"}
    several = replace(learnt, fit=replace(learnt.fit, slow_sensors=reasons))
    first, second = summary.slow_sensors(several).lines
    assert first == f"inlet (7), outlet (12): {moved(0).replace('0', 'so many')}"
    assert second == "hall: declared slow"
    one = replace(learnt, fit=replace(learnt.fit, slow_sensors={"inlet": moved(7)}))
    assert list(summary.slow_sensors(one).lines) == [f"inlet: {moved(7)}"]


def test_of_the_refused_numbers_of_clusters_the_best_three_are_named(learnt: Learnt) -> None:
    [some, *_] = learnt.fit.candidates
    refused = tuple(
        replace(some, k=k, silhouette=k / 10, refusal="unstable: 0.3") for k in range(2, 9)
    )
    told = summary.clusters(replace(learnt, fit=replace(learnt.fit, candidates=refused)))
    [line] = [line for line in told.lines if line.startswith("not k=")]
    assert line == (
        "not k=8 (silhouette 0.800), 7 (silhouette 0.700), 6 (silhouette 0.600) and 4 more: "
        "unstable"
    )
    assert len(told.content["candidates"]) == 7


def test_a_stretch_unlike_the_rest_comes_with_what_to_do(learnt: Learnt) -> None:
    blocks = learnt.fit.held_out_blocks
    assert not any("fit again" in line for line in summary.boundary(learnt).lines)
    odd = (replace(blocks[0], high_score=3.0), *blocks[1:])
    lines = summary.boundary(replace(learnt, fit=replace(learnt.fit, held_out_blocks=odd))).lines
    assert lines[-2].startswith("unlike the rest of the history: machine, ")
    assert "remove those rows and fit again" in lines[-1]


def test_a_sensor_of_zeros_and_ones_with_a_labels_name_is_told() -> None:
    binary, number = np.array([0.0, 1.0, np.nan, 1.0]), np.arange(4.0)
    sensors = ("anomaly", "flow", "isFault", "label", "open")
    values = np.stack([binary, number, binary, number, binary], axis=1)
    machine = MachineHistory("machine", np.arange(4), values)
    assert label_like(sensors, sensors, [machine]) == ["anomaly", "isFault"]
    assert label_like(("flow", "isFault"), sensors, [machine]) == ["isFault"]


def test_large_numbers_are_written_so_that_they_differ() -> None:
    assert told_apart([61.1441, 70.34, 69.98, 70.699]) == ["61.144", "70.34", "69.98", "70.699"]
    assert told_apart([1_234_567.0, 1_234_512.0]) == ["1234567", "1234512"]
    assert told_apart([5.0, 5.0]) == ["5", "5"]
