"""Comparisons of challengers with champions on their way into the store."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from msgspec import structs

from faultline import comparisons, topics
from faultline.comparisons import Comparison, Side

Plant: TypeAlias = Any

COUNTS = Comparison(
    counter_id="process-1",
    model_name="faultline-pump",
    champion_version="1",
    challenger_version="2",
    since_ms=1_000,
    until_ms=2_000,
    readings=10,
    agreed=8,
    champion=Side(failures=1),
    challenger=Side(failures=3, alarms=1),
)


def test_comparisons_are_stored(plant: Plant) -> None:
    plant.send(comparisons.encode(COUNTS), topics.MODEL_COMPARISONS)
    grown = structs.replace(COUNTS, readings=20)
    plant.send(comparisons.encode(grown), topics.MODEL_COMPARISONS)
    plant.record_all()
    found = plant.database.comparison_store().comparison(COUNTS.pair)
    assert found == structs.replace(grown, counter_id="")


@pytest.mark.parametrize(
    ("counts", "detail"),
    [
        (structs.replace(COUNTS, agreed=11), "agreed"),
        (structs.replace(COUNTS, readings=2**63), "readings"),
        (structs.replace(COUNTS, counter_id="x" * 257), "257 characters"),
        (structs.replace(COUNTS, challenger_sha256="x" * 257), "257 characters"),
        (structs.replace(COUNTS, since_ms=-1), "1970 to 2100"),
        (structs.replace(COUNTS, champion=Side(scores=(1, 2))), "2 bins"),
        (structs.replace(COUNTS, challenger=Side(alarms=-1)), "-1"),
    ],
)
def test_one_that_cannot_be_stored_becomes_a_dead_letter(
    plant: Plant, counts: Comparison, detail: str
) -> None:
    value = comparisons.encode(counts)
    plant.send(value, topics.MODEL_COMPARISONS)
    plant.record_all()
    (letter,) = plant.letters()
    headers = dict(letter.headers)
    assert (headers["reason"], letter.value) == (b"invalid_comparison", value)
    assert detail in headers["detail"].decode()
