"""What the backtests of two versions say beside each other. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIGURES = ("alarms", "false_alarms", "false_alarms_per_machine_day", "recall", "delay_s")

Json = Mapping[str, Any]


def comparison(
    name: str, version: str, challenger: Json, champion_version: str | None, champion: Json | None
) -> dict[str, Any]:
    """The figures of both on the same history.

    Parameters
    ----------
    challenger, champion
        Their backtests, as the trainer answers with them; None without a champion.
    """
    return {
        "model_name": name,
        "version": version,
        "champion": champion_version,
        "readings": challenger["readings"],
        "machine_days": challenger["machine_days"],
        "challenger_figures": _figures(challenger),
        "champion_figures": None if champion is None else _figures(champion),
    }


def comparison_tags(found: Json) -> dict[str, str]:
    """The same as tags of the challenger; what is undefined is left out."""
    sides = {"challenger": found["challenger_figures"], "champion": found["champion_figures"] or {}}
    tags = {
        f"backtest.{side}.{figure}": f"{value:g}"
        for side, figures in sides.items()
        for figure, value in figures.items()
        if value is not None
    }
    tags["backtest.readings"] = str(found["readings"])
    if found["champion"] is not None:
        tags["backtest.champion_version"] = found["champion"]
    return tags


def _figures(backtest: Json) -> dict[str, float | None]:
    return {figure: backtest["now"][figure] for figure in _FIGURES}
