"""Messages of verdicts stay small."""

from __future__ import annotations

from faultline import verdicts
from faultline.verdicts import Status, Verdict, VerdictBatch
from services.predictor.stream import MAX_VERDICT_BYTES, MAX_VERDICTS, chunks

MACHINES = ("pump-1", "pump-2", "pümp/3")


def _batch(count: int, sensors: int = 0) -> VerdictBatch:
    health = {f"{'long-name-' * 10}{number}": "missing" for number in range(sensors)}
    given = tuple(
        Verdict(timestamp_ms=number, status=Status.NORMAL, health=health) for number in range(count)
    )
    return VerdictBatch(machine_id="a", machine_type="pump", verdicts=given, model_version="1")


def test_a_long_batch_is_cut_into_messages_in_order() -> None:
    parts = [verdicts.decode(value) for value in chunks(_batch(2 * MAX_VERDICTS + 1))]
    assert [len(part.verdicts) for part in parts] == [MAX_VERDICTS, MAX_VERDICTS, 1]
    times = [verdict.timestamp_ms for part in parts for verdict in part.verdicts]
    assert times == list(range(2 * MAX_VERDICTS + 1))


def test_a_heavy_batch_is_cut_until_each_message_is_small() -> None:
    values = list(chunks(_batch(40, sensors=300)))
    assert len(values) > 1
    assert max(map(len, values)) <= MAX_VERDICT_BYTES
    assert sum(len(verdicts.decode(value).verdicts) for value in values) == 40
