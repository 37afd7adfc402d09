"""What a version says of itself in words."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({}, "is the new normal (status `new_normal`) after 60 min"),
        ({"settle_after_s": 18_000}, "is the new normal (status `new_normal`) after 5 h"),
        ({"settle_after_s": 0}, "A lasting state beyond the boundary never becomes the new normal"),
    ],
)
def test_the_settling_time_in_force_is_told(
    world: Any, hyperparameters: dict[str, Any], told: str
) -> None:
    world.train(hyperparameters={"k_max": 3, **hyperparameters})
    assert told in world.registry.version("faultline-pump", "1").description


def test_a_single_machine_is_told_in_the_singular(world: Any) -> None:
    world.train(machines=("pump-1",))
    text = world.registry.version("faultline-pump", "1").description
    assert "300 readings of 1 machine of type pump (pump-1)" in text
