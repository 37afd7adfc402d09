"""Repetition: a training whose version is there already makes no second one.

The same rows, settings and code come to the same version. What becomes of the one that is there,
its stage and what the gate has said of it decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from faultline import __version__
from faultline.detector.config import FitConfig
from faultline.ports.gate_log import GateLog
from faultline.ports.jobs import JobResult, TrainingJob
from faultline.ports.registry import ModelVersion, Stage
from services.trainer import record
from services.trainer.conclusion import GATE, passed_because
from services.trainer.dataset import Dataset
from services.trainer.promotion import Promotions
from services.trainer.semantic_version import identity
from services.trainer.steps import Holding, Steps
from services.trainer.succession import gathers, is_challenger, is_live, live_version

# By sensors only a fit can tell, which chooses them by the rows and the settings.
_DECIDED_BY_THE_FIT = "sensors_version"


def made_of(dataset: Dataset, config: FitConfig, git_commit: str | None) -> Mapping[str, str]:
    """The tags by which a version of the same rows, settings and code is known."""
    tags = identity(dataset.sensors, dataset.data_version, config)
    del tags[_DECIDED_BY_THE_FIT]
    return {**tags, "git_commit": git_commit or "", "faultline_version": __version__}


def repeated(versions: Iterable[ModelVersion], made_of: Mapping[str, str]) -> ModelVersion | None:
    """The version that a training would make once more; None when it would make a new one.

    Of several the one in Production, else the challenger, else the newest in Staging, else the
    newest. One that is in no stage does not count: its registration was never completed.
    """
    same = [
        version
        for version in versions
        if version.stage is not Stage.NONE
        and all(version.tags.get(name, "") == value for name, value in made_of.items())
    ]
    return max(
        same,
        key=lambda one: (
            is_live(one),
            is_challenger(one),
            one.stage is Stage.STAGING,
            int(one.version),
        ),
        default=None,
    )


class Repetition:
    """Says what a training comes to whose version is there already, and promotes that if wanted."""

    def __init__(self, gate_log: GateLog, promotions: Promotions) -> None:
        self._gate_log = gate_log
        self._promotions = promotions

    def conclude(
        self,
        job: TrainingJob,
        version: ModelVersion,
        versions: Iterable[ModelVersion],
        holding: Holding,
        steps: Steps,
    ) -> JobResult:
        """Promote the version when that is wanted and the gate has passed it beside the champion.

        In Staging only: what was archived or refused stays so, until a person says otherwise.

        Parameters
        ----------
        versions
            All of the model.
        """
        why_not = self._why_not(job, version, live_version(versions), steps)
        if why_not is None:

            def promote() -> None:
                holding.confirm()
                self._promotions.promote(
                    version.name,
                    version.version,
                    actor=GATE,
                    reason=passed_because(version),
                    once_for=job.job_id,
                )

            steps.patiently("promoting the version that is there", promote)
        told = "promoted" if why_not is None else why_not
        return JobResult(
            model_name=version.name,
            model_version=version.version,
            run_id=version.run_id,
            promoted=why_not is None,
            decision=f"unchanged: version {version.version} has learnt the same rows with the same "
            f"settings; {told}",
            unchanged=True,
        )

    def _why_not(
        self,
        job: TrainingJob,
        version: ModelVersion,
        champion: ModelVersion | None,
        steps: Steps,
    ) -> str | None:
        """Why the version that is there stays where it is; None when it is to be promoted."""
        # A worker before this one may have been cut off after it.
        done = steps.patiently(
            "looking whether this job has promoted it",
            lambda: self._promotions.promoted_for(job.job_id, version.name, version.version),
        )
        if done is not None:
            return None
        stays = _stays(job, version)
        if stays is not None:
            return stays
        judged = steps.patiently(
            "looking what the gate has said of the version that is there",
            lambda: self._gate_log.list(version.name, version.version, 1),
        )
        beside = None if champion is None else champion.version
        if judged and judged[0].report.champion == beside:
            return None
        return (
            "it stays in Staging, for the gate has not passed it beside "
            + (f"version {beside}" if beside else "nothing")
            + ", which is in Production now; ask with `repeat` to have it judged anew"
        )


def _stays(job: TrainingJob, version: ModelVersion) -> str | None:
    """Why a version stays where it is, whatever is in Production; None when it may be promoted."""
    gate = version.tags.get(record.GATE_TAG, "")
    reason = version.tags.get(record.GATE_REASON_TAG, "")
    if is_live(version):
        return "it is in Production"
    if version.stage is not Stage.STAGING:
        return f"it is {version.stage} and stays so (the gate: {gate}, {reason})"
    if gathers(version):
        return f"it waits in Staging: {reason}"
    if gate != record.PASSED:
        return f"it stays in Staging (the gate: {gate}, {reason})"
    if job.request.promotion == "hold":
        return "it is held in Staging, as asked for"
    return None
