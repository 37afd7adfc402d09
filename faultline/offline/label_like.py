"""Sensors that may be labels: columns of 0 and 1 with a name that labels have."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from faultline.detector import MachineHistory

_WORDS = frozenset(
    {"anomaly", "anomalies", "changepoint", "class", "failure", "fault", "faulty", "label"}
    | {"attack", "outlier", "target"}
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def is_label_name(name: str) -> bool:
    """Whether a word of a column's name is one that labels have.

    >>> [is_label_name(name) for name in ("is_anomaly", "Label", "isFault", "default_flow")]
    [True, True, True, False]
    """
    return not _WORDS.isdisjoint(word.lower() for word in _WORD.findall(name))


def label_like(
    used: Sequence[str], sensors: Sequence[str], machines: Sequence[MachineHistory]
) -> list[str]:
    """Choose of the used sensors those that hold 0 and 1 only and are named like a label.

    Parameters
    ----------
    sensors
        The columns of the histories.
    """
    return [
        name
        for name in used
        if is_label_name(name)
        and all(
            (np.isnan(values) | (values == 0.0) | (values == 1.0)).all()
            for values in (machine.values[:, sensors.index(name)] for machine in machines)
        )
    ]
