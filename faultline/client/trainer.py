"""Asking the trainer: trainings, versions, promotions, backtests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from faultline.client.service import ServiceClient
from faultline.errors import Unavailable
from faultline.ports.jobs import JobState, Period
from faultline.readings import format_timestamp

_MODELS = "/api/v1/ml/models"
_LONG_S = 600.0
_POLL_S = 0.25
_PATIENCE_S = 60.0
_FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A training job, as far as a caller follows it; see `faultline.ports.jobs.TrainingJob`."""

    job_id: str
    state: JobState
    progress: str = ""
    error: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    promoted: bool | None = None
    decision: str | None = None
    unchanged: bool | None = None

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in _FINAL


class TrainerClient(ServiceClient):
    """Speaks to one trainer; a context manager.

    Every method raises `Unavailable` when it does not answer, and for a refusal the error that its
    status stands for, with the trainer's own explanation.

    Parameters
    ----------
    url
        Base URL, such as ``http://127.0.0.1:8002``.
    transport
        Another way to carry the requests; None for the network.
    """

    _name = "trainer"

    def train(
        self,
        machine_type: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        machines: Sequence[str] = (),
        sensors: Sequence[str] = (),
        excluded: Sequence[Period] = (),
        dataset_version: str | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        promotion: Literal["auto", "hold"] = "auto",
        repeat: bool = False,
        requested_by: str = "api",
    ) -> Job:
        """Ask for a version of a machine type; returns at once, with the queued job.

        Parameters
        ----------
        start_ms, end_ms
            Range of the history, milliseconds since the epoch, end excluded; None is open.
        machines, sensors
            Which to use; none given means all.
        excluded
            Periods to leave out.
        dataset_version
            Train on the rows of this earlier version again (its number, or 12 or more digits of its
            `data_version`), and not on the history; leaves no choice of all the above.
        hyperparameters
            How to fit, where it should differ from the defaults.
        promotion
            ``auto``: promoted when it passes the gate. ``hold``: stays in Staging.
        repeat
            Make a version also of rows, with settings and by code, that there is one of already.
        requested_by
            Kept with the version.
        """
        body: dict[str, Any] = {
            "machine_type": machine_type,
            "promotion": promotion,
            "requested_by": requested_by,
        }
        if repeat:
            body["repeat"] = True
        if start_ms is not None:
            body["start"] = format_timestamp(start_ms)
        if end_ms is not None:
            body["end"] = format_timestamp(end_ms)
        if machines:
            body["machines"] = list(machines)
        if sensors:
            body["sensors"] = list(sensors)
        if excluded:
            body["excluded"] = [
                {
                    "start": format_timestamp(period.start_ms),
                    "end": format_timestamp(period.end_ms),
                }
                for period in excluded
            ]
        if dataset_version is not None:
            body["dataset_version"] = dataset_version
        if hyperparameters:
            body["hyperparameters"] = dict(hyperparameters)
        return self._job("POST", f"{_MODELS}/train", body)

    def job(self, job_id: str) -> Job:
        """One job as it stands."""
        return self._job("GET", f"{_MODELS}/train/{quote(job_id, safe='')}")

    def wait(
        self,
        job_id: str,
        on_progress: Callable[[Job], None] | None = None,
        timeout_s: float | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> Job:
        """Follow a job until nothing more will happen to it.

        The job outlives a restart of the trainer, and so does the wait for it.

        Parameters
        ----------
        on_progress
            Called whenever its state or progress has changed.
        timeout_s
            Raise `TimeoutError` after so long; None waits for ever.
        patience_s
            Raise `Unavailable` when the trainer has not answered for so long.
        """
        answered_s = time.monotonic()
        deadline_s = None if timeout_s is None else answered_s + timeout_s
        told: tuple[JobState, str] | None = None
        while True:
            try:
                job = self.job(job_id)
            except Unavailable:
                now_s = time.monotonic()
                if now_s - answered_s >= patience_s or (
                    deadline_s is not None and now_s > deadline_s
                ):
                    raise
                time.sleep(_POLL_S)
                continue
            answered_s = time.monotonic()
            if told != (job.state, job.progress):
                told = (job.state, job.progress)
                if on_progress is not None:
                    on_progress(job)
            if job.final:
                return job
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TimeoutError(
                    f"training job {job_id} is still {job.state} after {timeout_s:g} s "
                    f"({job.progress or 'no progress told'})"
                )
            time.sleep(_POLL_S)

    def promote(
        self,
        name: str,
        version: str,
        *,
        stage: str = "Production",
        reason: str = "",
        force: bool = False,
        requested_by: str = "api",
    ) -> dict[str, Any]:
        """Move a version to a stage; returns what the trainer says it did."""
        path = f"{_model(name)}/versions/{quote(version, safe='')}/promote"
        body = {"stage": stage, "reason": reason, "force": force, "requested_by": requested_by}
        return self._ask("POST", path, dict[str, Any], body=body)

    def roll_back(
        self, name: str, to: str | None = None, *, reason: str, requested_by: str = "api"
    ) -> dict[str, Any]:
        """Put an earlier version into Production again; returns what the trainer says it did.

        Parameters
        ----------
        to
            Its number; None is the version that was there before the present one.
        """
        body = {"to": to, "reason": reason, "requested_by": requested_by}
        return self._ask("POST", f"{_model(name)}/rollback", dict[str, Any], body=body)

    def gate(self, name: str, version: str) -> Sequence[dict[str, Any]]:
        """What the gate found of a version, check by check; the last judgement first."""
        path = f"{_model(name)}/versions/{quote(version, safe='')}/gate"
        return self._ask("GET", path, _Found).judgements

    def models(self) -> Sequence[dict[str, Any]]:
        """The registered models, by name."""
        return self._ask("GET", _MODELS, _Found).models

    def versions(self, name: str, *, verdicts: bool = False) -> Sequence[dict[str, Any]]:
        """The versions of a model, newest first; on demand with how many verdicts each has made."""
        params = {"verdicts": "true"} if verdicts else None
        return self._ask("GET", f"{_model(name)}/versions", _Found, params=params).versions

    def history(self, name: str, at_ms: int | None = None) -> dict[str, Any]:
        """The changes of a model's Production, and which version was live at a time, or is now."""
        params = None if at_ms is None else {"at": format_timestamp(at_ms)}
        return self._ask("GET", f"{_model(name)}/history", dict[str, Any], params=params)

    def backtest(
        self,
        name: str,
        version: str,
        *,
        machines: Sequence[str] = (),
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> dict[str, Any]:
        """Replay a version over stored history; returns what it finds beside what was found.

        Parameters
        ----------
        machines
            None given means all of the version's type.
        start_ms, end_ms
            Range of the history, milliseconds since the epoch, end excluded; None is open.
        """
        body: dict[str, Any] = {}
        if machines:
            body["machines"] = list(machines)
        if start_ms is not None:
            body["start"] = format_timestamp(start_ms)
        if end_ms is not None:
            body["end"] = format_timestamp(end_ms)
        path = f"{_model(name)}/versions/{quote(version, safe='')}/backtest"
        return self._ask("POST", path, dict[str, Any], body=body, timeout_s=_LONG_S)

    def _job(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Job:
        return self._ask(method, path, Job, body=body)


def _model(name: str) -> str:
    return f"{_MODELS}/{quote(name, safe='')}"


class _Found(msgspec.Struct, frozen=True):
    """A list of models, of versions, or of judgements."""

    models: list[dict[str, Any]] = []
    versions: list[dict[str, Any]] = []
    judgements: list[dict[str, Any]] = []
