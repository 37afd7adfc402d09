"""The settings of `FitConfig` that few need, as options of `faultline fit`, one for one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

_PANEL = "Advanced: found by themselves, or good as they are"


class Distance(StrEnum):
    """How far two windows are apart."""

    AUTO = "auto"
    EUCLIDEAN = "euclidean"
    COVARIANCE = "covariance"


class Drift(StrEnum):
    """Whether slow sensors are found and drift is followed."""

    AUTO = "auto"
    OFF = "off"


class Baselines(StrEnum):
    """Whether each machine with enough history has a baseline of its own."""

    ON = "on"
    OFF = "off"


WindowRowsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="one load cycle",
        help="Rows averaged before they are judged.",
    ),
]
MaxWindowRowsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="120",
        help="The longest load cycle looked for.",
    ),
]
DefaultWindowRowsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="10",
        help="The window where no load cycle is found.",
    ),
]
MaxGapStepsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="10",
        help="A silence of so many usual steps starts a window anew.",
    ),
]
KMinOption = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        rich_help_panel=_PANEL,
        show_default="2",
        help="The fewest clusters that are tried; one is taken where none of them holds.",
    ),
]
KMaxOption = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        rich_help_panel=_PANEL,
        show_default="8",
        help="The most clusters that are tried.",
    ),
]
SmallestClusterShareOption = Annotated[
    float | None,
    typer.Option(
        metavar="PART",
        rich_help_panel=_PANEL,
        show_default="0.01",
        help="A cluster with a smaller part of the windows is outliers and no regime.",
    ),
]
HeldOutBlocksOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="5",
        help="Stretches that the history is cut into to find the boundary.",
    ),
]
MinRowsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="100",
        help="Fewer whole windows than this are refused.",
    ),
]
MaxClusterRowsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="20000",
        help="More windows than this are thinned evenly before they are clustered.",
    ),
]
SilhouetteSampleRowsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_PANEL,
        show_default="2000",
        help="The silhouette is computed on so many windows at most.",
    ),
]
DistanceOption = Annotated[
    Distance | None,
    typer.Option(
        metavar="KIND",
        rich_help_panel=_PANEL,
        show_default="auto",
        help="euclidean, or covariance (as the sensors move together); auto takes the one that "
        "finds smaller offsets.",
    ),
]
DriftOption = Annotated[
    Drift | None,
    typer.Option(
        metavar="auto|off",
        rich_help_panel=_PANEL,
        show_default="auto",
        help="off: every slow change is a fault; none is followed.",
    ),
]
MachineBaselinesOption = Annotated[
    Baselines | None,
    typer.Option(
        metavar="on|off",
        rich_help_panel=_PANEL,
        show_default="on",
        help="off: no machine has a zero of its own, and an offset between machines is a fault.",
    ),
]
