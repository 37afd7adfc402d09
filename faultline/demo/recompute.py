"""The report's count of stored verdicts held against those computed anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faultline.demo.report import RecomputedReport
from faultline.judge import Model
from faultline.ports.stores import MachineRows, StoredVerdict
from faultline.recompute import Recomputation


def recompute(
    rows: MachineRows, verdicts: Sequence[StoredVerdict], models: Mapping[str, Model]
) -> RecomputedReport:
    """Judge one machine's readings from its first one, changing models where its verdicts did.

    A verdict made by half a model, by another than it names, or from a window that was lost on the
    way, has another score than this.

    Parameters
    ----------
    rows
        All that is stored of the machine.
    verdicts
        All of its verdicts, in time order.
    models
        By version, of one registered model.

    Raises
    ------
    NotFound
        When a verdict names a version that `models` lacks.
    """
    by_name = {(model.name, version): model for version, model in models.items()}
    anew = list(Recomputation(by_name).judge(rows, verdicts))
    differences = [
        one.relative_difference
        for one in anew
        if not one.differs and one.relative_difference is not None
    ]
    named = [stored.model_version for stored in verdicts if stored.model_version is not None]
    return RecomputedReport(
        machine_id=rows.machine_id,
        verdicts=len(verdicts),
        scores=len(differences),
        versions=tuple(dict.fromkeys(named)),
        differing=sum(one.differs for one in anew),
        largest_relative_difference=max(differences, default=0.0),
    )
