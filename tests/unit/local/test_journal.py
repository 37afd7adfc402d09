from __future__ import annotations

from pathlib import Path

import pytest

from faultline.local.journal import Event, parse, read, restarts

LOG = """\
2026-11-21 07:02:23,100 INFO supervisord started with pid 100
2026-11-21 07:02:23,200 INFO spawned: 'kafka' with pid 101
2026-11-21 07:02:33,200 INFO success: kafka entered RUNNING state, process has stayed up
2026-11-21 07:03:00,500 WARN exited: kafka (terminated by SIGKILL; not expected)
2026-11-21 07:03:01,500 INFO spawned: 'kafka' with pid 102
2026-11-21 07:03:02,500 WARN exited: kafka (exit status 1; not expected)
2026-11-21 07:03:02,600 INFO gave up: kafka entered FATAL state, too many start retries too quickly
2026-11-21 07:04:00,000 INFO spawned: 'mlflow' with pid 103
2026-11-21 07:04:20,000 INFO exited: mlflow (exit status 0; expected)
2026-11-21 07:04:21,000 INFO spawned: 'mlflow' with pid 104
2026-11-21 07:05:00,000 WARN stopped: mlflow (terminated by SIGTERM)
2026-11-21 07:05:01,000 INFO spawned: 'mlflow' with pid 105
""".splitlines()


def test_every_line_of_a_programs_life_becomes_an_event() -> None:
    events = [(event.component, event.kind, event.pid, event.how) for event in parse(LOG)]

    assert events == [
        ("kafka", "started", 101, ""),
        ("kafka", "died", 0, "SIGKILL"),
        ("kafka", "started", 102, ""),
        ("kafka", "died", 0, "exit 1"),
        ("kafka", "gave_up", 0, ""),
        ("mlflow", "started", 103, ""),
        ("mlflow", "died", 0, "exit 0"),
        ("mlflow", "started", 104, ""),
        ("mlflow", "stopped", 0, "SIGTERM"),
        ("mlflow", "started", 105, ""),
    ]


def test_events_keep_the_time_between_them() -> None:
    first, second, *_ = parse(LOG)

    assert second.at_s - first.at_s == pytest.approx(37.3)


def test_only_starts_after_an_unasked_end_are_restarts() -> None:
    # The third start of MLflow followed a stop that somebody asked for.
    assert restarts(parse(LOG)) == {"kafka": 1, "mlflow": 1}


def test_a_first_start_is_no_restart() -> None:
    assert not restarts([Event(1.0, "kafka", "started", pid=7)])


def test_a_log_that_does_not_exist_yet_has_no_events(tmp_path: Path) -> None:
    assert read(tmp_path / "supervisord.log") == []
