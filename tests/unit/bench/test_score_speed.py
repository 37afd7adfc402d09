"""The benchmark of scoring on few rows: what it prints, not how fast."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from bench import score_speed
from bench.synthetic import running_machine
from faultline.detector import Window


def test_each_contender_that_is_installed_has_a_rate_for_each_batch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    score_speed.main(["--quick", "--no-peers"])

    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip() for row in rows] == list(score_speed.OWN_PACKAGES)
    for row in rows:
        assert all(int(cell.replace(",", "")) > 0 for cell in row.split("|")[2:-1])


@pytest.mark.parametrize(
    ("module", "name"), [("pyod", "PyOD ECOD"), ("river", "River HalfSpaceTrees")]
)
def test_a_peer_that_is_not_installed_is_said_in_its_row(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [one for one in sys.modules if one.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [_Absent(module), *sys.meta_path])
    stream = running_machine(10_000)

    found = score_speed.measured([*score_speed.OWN_PACKAGES, name], stream, 1, 0.0)

    assert found[name] == f"{module} is not installed"
    assert f"{module} is not installed" in score_speed.report(found, 1)


class _Absent:
    """An import hook that behaves as if a package were not there."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".", maxsplit=1)[0] == self._package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self._package)


def test_the_stream_that_is_timed_is_scored_in_one_piece() -> None:
    train, stream = running_machine(2_000, seed=1), running_machine(50, seed=2)
    detector = score_speed.faultline_detector(train)
    times = 1_000 * np.arange(50, dtype=np.int64)
    whole, _ = detector.score(Window.empty(detector.sensors), times, stream)

    score = score_speed.CONTENDERS[score_speed.FAULTLINE](train)([stream[:20], stream[20:]])
    parts: list[Any] = [score(0), score(1)]

    np.testing.assert_array_equal(
        np.concatenate([part.score for part in parts]),
        whole.score,
    )


def test_the_same_work_in_scikit_learn_carries_rows_from_batch_to_batch() -> None:
    train, stream = running_machine(2_000, seed=1), running_machine(50, seed=2)
    begin = score_speed.CONTENDERS[score_speed.SAME_WORK]
    in_one: Any = begin(train)([stream])(0)
    whole = in_one[1]

    score = begin(train)([stream[:5], stream[5:20], stream[20:]])

    assert score(0) is None
    batches: list[Any] = [score(1), score(2)]
    parts = [batch[1] for batch in batches]
    np.testing.assert_allclose(np.concatenate(parts), whole)
    assert len(whole) == 50 - (score_speed.WINDOW_ROWS - 1)
