"""The trainer's settings."""

from __future__ import annotations

from pydantic import Field, field_validator

from faultline.settings import (
    AlarmSettings,
    DatabaseSettings,
    KafkaSettings,
    RegistrySettings,
    RetentionSettings,
    ServiceSettings,
    TracingSettings,
)
from services.trainer.gate import GateLimits
from services.trainer.schedule import Schedules, parse_schedules


class TrainerSettings(
    ServiceSettings,
    TracingSettings,
    KafkaSettings,
    DatabaseSettings,
    RetentionSettings,
    RegistrySettings,
    AlarmSettings,
):
    """Where the trainer listens, how it works off its jobs, and what its gate asks for."""

    trainer_port: int = Field(8002, ge=1, le=65535, description="The trainer's HTTP port.")
    trainer_poll_s: float = Field(
        1.0, gt=0, description="Seconds between two looks for a job, when there was none."
    )
    trainer_lease_s: float = Field(
        60.0,
        ge=1,
        description="A job whose worker has not been heard of for so many seconds is taken over "
        "by another. It is renewed three times as often.",
    )
    trainer_retry_s: float = Field(
        1.0, gt=0, description="Seconds to wait after a dependency could not be reached."
    )
    trainer_reconcile_s: float = Field(
        5.0,
        gt=0,
        description="Seconds between two looks at the aliases and stages in MLflow: what another "
        "client changed is recorded and followed, and a promotion that was cut off is completed.",
    )
    trainer_max_attempts: int = Field(
        3,
        ge=1,
        description="A job whose worker died so many times is failed and not taken again.",
    )
    trainer_threads: int = Field(
        1, ge=1, description="Threads that the numeric libraries may use during a fit."
    )
    trainer_niceness: int = Field(
        10,
        ge=0,
        le=19,
        description="How far the fit stands back for other work on the machine; 0 is not at all.",
    )
    trainer_max_history_rows: int = Field(
        5_000_000,
        ge=1_000,
        description="Readings that one training may hold in memory. Of a longer history the "
        "newest are read; a job that asks for a start and has more since fails and says to choose "
        "a shorter range.",
    )
    trainer_snapshot_max_bytes: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="The rows that a version learnt from are kept with its run when their numbers "
        "take so many bytes or less, before compression; of more rows only the query and the hash "
        "are kept, and they are read again from the database.",
    )
    trainer_max_backtest_rows: int = Field(
        500_000,
        ge=1_000,
        description="Readings that one backtest may replay; one with more is refused and says to "
        "choose a shorter range. It bounds the memory, and how long an answer takes.",
    )
    trainer_evaluate_faults: bool = Field(
        True,
        description="Whether every version is measured by faults injected into held-out readings. "
        "It takes about as long as the fit once more.",
    )
    trainer_schedule: str | None = Field(
        None,
        description="When trainings start by themselves, in UTC: a cron expression of five fields "
        "(`0 3 * * *`) or an interval (`every 6h`; s, m, h or d, counted from 1970). One for all "
        "machine types, or by type, separated by semicolons: `0 3 * * *; pump=every 6h; "
        "test-rig=never`. When several times were missed, one training makes up for them.",
    )
    trainer_new_rows: int = Field(
        0,
        ge=0,
        description="A training of a machine type starts when so many of its readings have been "
        "stored since its last training ended; 0 is never. A machine's readings count for the "
        "type that it had last.",
    )
    trainer_on_drift: bool = Field(
        True, description="Whether an event on `drift.events` starts a training of its type."
    )
    trainer_cooldown_s: float = Field(
        3_600.0,
        ge=0,
        description="Seconds from one training of a machine type that started by itself to the "
        "next. A schedule that is due meanwhile starts none; drift and new data start one then.",
    )
    trainer_challenger_wait_s: float = Field(
        86_400.0,
        ge=0,
        description="A version that gathers live readings in the shadow (see "
        "`FAULTLINE_GATE_MIN_SHADOW_READINGS`) keeps its place for so many seconds: meanwhile "
        "neither a schedule nor new data starts a training of its type; they start one when it has "
        "been promoted or refused, or then. Drift, or a training by hand, takes its place at once.",
    )
    trainer_watch_s: float = Field(
        5.0,
        gt=0,
        description="Seconds between two looks whether a schedule is due or there is enough new "
        "data.",
    )
    trainer_git_commit: str | None = Field(
        None,
        description="Commit of the code, kept with every version; read from the source tree when "
        "not set and there is one.",
    )
    gate_min_rows: int = Field(
        200,
        ge=1,
        description="The gate passes a version that "
        "learnt from so many windows of one machine or more.",
    )
    gate_min_silhouette: float = Field(
        0.1,
        ge=-1,
        le=1,
        description="The gate passes a version whose clusters have this silhouette or more.",
    )
    gate_pass_single_cluster: bool = Field(
        True,
        description="Whether a version with a single cluster, whose silhouette is undefined, "
        "passes that check: a machine that only ever runs one way has one cluster.",
    )
    gate_max_alarm_rate: float = Field(
        0.2,
        gt=0,
        le=1,
        description="The gate passes a version by which at most this part of the held-out windows "
        "is above the boundary, the worst fifth of the held-out blocks left aside.",
    )

    gate_min_stability: float = Field(
        GateLimits.min_stability,
        ge=-1,
        le=1,
        description="The gate passes a version whose clusters agree so well under resampling "
        "(adjusted Rand index) or better.",
    )
    gate_min_cluster_share: float = Field(
        GateLimits.min_cluster_share,
        ge=0,
        lt=0.5,
        description="The gate passes a version whose smallest cluster has this part of the windows "
        "or more.",
    )
    gate_max_more_alarms: float = Field(
        GateLimits.max_more_alarms,
        ge=0,
        le=1,
        description="By how much the part of the healthy rows compared on that is in alarm may be "
        "above that of the version in Production: 0.05 is 5 % more of the rows.",
    )
    gate_max_less_recall: float = Field(
        GateLimits.max_less_recall,
        ge=0,
        le=1,
        description="By how much less of the same injected faults, and of the known faults in the "
        "stored readings, a version may find than the one in Production.",
    )
    gate_max_silenced: float = Field(
        GateLimits.max_silenced,
        ge=0,
        le=1,
        description="How large a part of the rows that a version learnt from may be in alarm by "
        "the version in Production and not by it: it may have learnt a fault. Where the machines "
        "do run so now, a person forces it. 1 lets everything through.",
    )
    gate_min_shadow_readings: int = Field(
        GateLimits.min_shadow_readings,
        ge=0,
        description="A version waits in Staging until it has scored so many live readings beside "
        "the one in Production, and is refused if it calls far more of them failures. 0, or no "
        "version in Production: it does not wait.",
    )

    @field_validator("trainer_schedule")
    @classmethod
    def _readable(cls, given: str | None) -> str | None:
        parse_schedules(given or "")
        return given

    def schedules(self) -> Schedules:
        """Which machine type is trained when."""
        return parse_schedules(self.trainer_schedule or "")

    def gate_limits(self) -> GateLimits:
        """What the gate asks for."""
        return GateLimits(
            min_rows=self.gate_min_rows,
            min_silhouette=self.gate_min_silhouette,
            pass_single_cluster=self.gate_pass_single_cluster,
            max_alarm_rate=self.gate_max_alarm_rate,
            min_stability=self.gate_min_stability,
            min_cluster_share=self.gate_min_cluster_share,
            max_more_alarms=self.gate_max_more_alarms,
            max_less_recall=self.gate_max_less_recall,
            max_silenced=self.gate_max_silenced,
            min_shadow_readings=self.gate_min_shadow_readings,
        )
