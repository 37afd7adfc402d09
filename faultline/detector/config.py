"""How a detector is fitted: every setting, its default and its range. Knows no method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

_Distance = Literal["auto", "euclidean", "covariance"]
_Drift = Literal["auto", "off"]


@dataclass(frozen=True)
class FitConfig:
    """How to fit. The false-alarm rate is the one setting that a user should need.

    Attributes
    ----------
    false_alarm_rate
        The part of ordinary rows that may score above 1.0; above 0, below 0.5.
    window_rows
        Rows averaged before they are judged; None finds it from the load cycle.
    max_window_rows
        The longest load cycle looked for. A longer window answers later.
    default_window_rows
        The window when nothing repeats: long enough to quieten noise, short enough to answer soon.
    max_gap_steps
        A silence of so many median steps starts a window anew; never less than a window.
    k_min, k_max
        The numbers of clusters that are tried, from 2.
    smallest_cluster_share
        A cluster with a smaller part of the rows is outliers and no regime: the candidate with it
        is not chosen.
    held_out_blocks
        Into how many stretches each history is cut to find the boundary; at least 2.
    min_rows
        Fewer whole windows than this are refused.
    max_cluster_rows
        More windows than this are thinned evenly before clustering; all are scored.
    silhouette_sample_rows
        The silhouette is computed on so many windows at most.
    distance
        Through the covariance of the sensors or plainly Euclidean; "auto" takes the one with
        which a smaller offset is found at the same rate of false alarms.
    slow_sensors
        Names of sensors whose slow changes mean nothing, such as the weather; unknown ones are
        passed over, since a machine type's sensors may change.
    shape
        Whether only the form of a window counts, and not its level and size: every window is
        normalised by itself. For signals such as a pulse or a stroke; it usually hurts others.
    drift
        "auto" also finds slow sensors by itself and follows a machine's drift within the boundary;
        "off" does neither.
    machine_baselines
        Whether each machine with enough history gets a baseline of its own.
    settle_after_s
        After so many seconds in one lasting state beyond the boundary, that state is the new
        normal; 0 forbids it. None is three days, or twice as long as the history where that is
        less, but an hour at least.
    seed
        Of the clustering and the silhouette's sample: the same data and seed give the same fit.

    Raises
    ------
    ValueError
        Naming the field that is out of its range.
    """

    false_alarm_rate: float = 0.002
    window_rows: int | None = None
    max_window_rows: int = 120
    default_window_rows: int = 10
    max_gap_steps: int = 10
    k_min: int = 2
    k_max: int = 8
    smallest_cluster_share: float = 0.01
    held_out_blocks: int = 5
    min_rows: int = 100
    max_cluster_rows: int = 20_000
    silhouette_sample_rows: int = 2_000
    distance: _Distance = "auto"
    slow_sensors: tuple[str, ...] = ()
    shape: bool = False
    drift: _Drift = "auto"
    machine_baselines: bool = True
    settle_after_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate < 0.5:
            raise ValueError(
                f"false_alarm_rate must lie between 0 and 0.5; got {self.false_alarm_rate!r}"
            )
        if not 0 <= self.smallest_cluster_share < 0.5:
            raise ValueError(
                "smallest_cluster_share must be at least 0 and below 0.5; "
                f"got {self.smallest_cluster_share!r}"
            )
        if self.distance not in get_args(_Distance):
            raise ValueError(
                f"distance must be one of {', '.join(get_args(_Distance))}; got {self.distance!r}"
            )
        if self.drift not in get_args(_Drift):
            raise ValueError(
                f"drift must be one of {', '.join(get_args(_Drift))}; got {self.drift!r}"
            )
        if self.shape and self.slow_sensors:
            raise ValueError("slow_sensors mean nothing with shape: no level counts there anyway")
        if self.shape and self.window_rows == 1:
            raise ValueError("shape needs a window of at least 2 rows; got window_rows=1")
        least = {
            "window_rows": 1,
            "max_window_rows": 2,
            "default_window_rows": 1,
            "max_gap_steps": 1,
            "k_min": 2,
            "k_max": self.k_min,
            "held_out_blocks": 2,
            "min_rows": 2,
            "max_cluster_rows": 100,
            "silhouette_sample_rows": 100,
            "settle_after_s": 0,
            "seed": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ValueError(f"{name} must be at least {bound}; got {value!r}")
