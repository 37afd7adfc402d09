"""Puts the trainer together from ports. It must not know what is behind them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from fastapi import FastAPI

from faultline import __version__
from faultline.ports.broker import Broker
from faultline.ports.clock import Clock
from faultline.ports.comparisons import ComparisonStore
from faultline.ports.gate_log import GateLog
from faultline.ports.jobs import JobQueue
from faultline.ports.promotions import PromotionLog
from faultline.ports.registry import ModelRegistry
from faultline.ports.retention import RetentionStore
from faultline.ports.stores import FleetStore
from faultline.ports.triggers import TriggerLog
from faultline.service import Loop
from faultline.web import equip
from services.trainer.announcer import Announcer
from services.trainer.api import PREFIX, change_routes, job_routes, model_routes
from services.trainer.assessment import Assessor
from services.trainer.backtest_api import backtest_routes
from services.trainer.change import Changes
from services.trainer.drift_listener import DriftListener
from services.trainer.evidence import Draw
from services.trainer.gate_api import gate_routes
from services.trainer.metrics import Metrics
from services.trainer.observation import Observation
from services.trainer.outbox import Outbox
from services.trainer.plots import draw_plots
from services.trainer.probation import Probation
from services.trainer.promotion import Promotions
from services.trainer.reconciliation import Reconciler
from services.trainer.retention_api import retention_routes
from services.trainer.revision import git_commit
from services.trainer.settings import TrainerSettings
from services.trainer.training import Rules, Training
from services.trainer.triggers import Triggers, Watch
from services.trainer.triggers_api import trigger_routes
from services.trainer.worker import Worker

_ABOUT = """Learns what is normal for a machine type, registers each version in MLflow, and puts
those that pass the gate into Production."""


@dataclass(frozen=True)
class Ports:
    """What the trainer needs of the world.

    Attributes
    ----------
    database, tracking, stream
        What is wrong with the database, with MLflow and with Kafka; None when they are well.
    """

    broker: Broker
    registry: ModelRegistry
    store: FleetStore
    queue: JobQueue
    promotion_log: PromotionLog
    gate_log: GateLog
    comparisons: ComparisonStore
    trigger_log: TriggerLog
    retention: RetentionStore
    clock: Clock
    database: Callable[[], str | None]
    tracking: Callable[[], str | None]
    stream: Callable[[], str | None]


@dataclass(frozen=True)
class Trainer:
    """The application and the loops beside it, with the parts that tests look at."""

    app: FastAPI
    loops: Sequence[Loop]
    worker: Worker
    reconciler: Reconciler
    probation: Probation
    watch: Watch
    drift_listener: DriftListener
    promotions: Promotions
    metrics: Metrics


def assemble(settings: TrainerSettings, ports: Ports, draw: Draw = draw_plots) -> Trainer:
    """Put the trainer together.

    Parameters
    ----------
    draw
        Draws a fit's plots into a folder.
    """
    metrics = Metrics()
    announcer = Announcer(ports.broker)
    outbox = Outbox(ports.promotion_log, ports.gate_log, announcer)
    changes = Changes(ports.registry, ports.promotion_log, outbox, ports.clock)
    reconciler = Reconciler(
        ports.registry, ports.promotion_log, changes, settings.trainer_reconcile_s
    )
    promotions = Promotions(ports.registry, ports.promotion_log, changes, reconciler)
    training = Training(
        store=ports.store,
        registry=ports.registry,
        assessor=Assessor(
            ports.store,
            ports.registry,
            settings.gate_limits(),
            settings.alarm_policy(),
            threads=settings.trainer_threads,
            evaluate=settings.trainer_evaluate_faults,
        ),
        gate_log=ports.gate_log,
        promotions=promotions,
        announcer=announcer,
        metrics=metrics,
        clock=ports.clock,
        rules=Rules(
            max_history_rows=settings.trainer_max_history_rows,
            threads=settings.trainer_threads,
            retry_s=settings.trainer_retry_s,
            git_commit=settings.trainer_git_commit or git_commit(),
            snapshot_max_bytes=settings.trainer_snapshot_max_bytes,
        ),
        draw=draw,
    )
    probation = Probation(
        registry=ports.registry,
        comparisons=ports.comparisons,
        queue=ports.queue,
        gate_log=ports.gate_log,
        changes=changes,
        reconciler=reconciler,
        promotions=promotions,
        metrics=metrics,
        clock=ports.clock,
        limits=settings.gate_limits(),
        every_s=settings.trainer_reconcile_s,
    )
    worker = Worker(
        ports.queue,
        training,
        metrics,
        name=f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}",
        lease_s=settings.trainer_lease_s,
        poll_s=settings.trainer_poll_s,
        retry_s=settings.trainer_retry_s,
        max_attempts=settings.trainer_max_attempts,
        niceness=settings.trainer_niceness,
    )
    triggers = Triggers(
        ports.trigger_log,
        ports.registry,
        metrics,
        ports.clock,
        cooldown_s=settings.trainer_cooldown_s,
        challenger_wait_s=settings.trainer_challenger_wait_s,
    )
    watch = Watch(
        triggers,
        ports.trigger_log,
        ports.clock,
        schedules=settings.schedules(),
        new_rows=settings.trainer_new_rows,
        on_drift=settings.trainer_on_drift,
        every_s=settings.trainer_watch_s,
    )
    drift_listener = DriftListener(ports.broker, triggers, metrics, settings.trainer_retry_s)
    observation = Observation(ports.registry, ports.queue, metrics, settings.trainer_reconcile_s)
    app = FastAPI(title="Faultline trainer", version=__version__, description=_ABOUT)
    checks = {"database": ports.database, "mlflow": ports.tracking, "kafka": ports.stream}
    equip(app, checks, metrics.registry)
    app.include_router(job_routes(ports.queue, ports.store))
    app.include_router(trigger_routes(ports.trigger_log, ports.queue, PREFIX))
    app.include_router(model_routes(ports.registry, ports.store))
    app.include_router(change_routes(ports.registry, promotions, ports.promotion_log, ports.clock))
    app.include_router(gate_routes(ports.registry, ports.gate_log, PREFIX))
    app.include_router(
        backtest_routes(
            ports.registry,
            ports.store,
            ports.promotion_log,
            settings.alarm_policy(),
            settings.trainer_max_backtest_rows,
        )
    )
    app.include_router(retention_routes(ports.retention, settings.retention(), ports.clock))
    return Trainer(
        app=app,
        loops=(
            Loop("worker", worker.run),
            Loop("reconciler", reconciler.run),
            Loop("probation", probation.run),
            Loop("watch", watch.run),
            Loop("observation", observation.run),
            *([Loop("drift", drift_listener.run)] if settings.trainer_on_drift else []),
        ),
        worker=worker,
        reconciler=reconciler,
        probation=probation,
        watch=watch,
        drift_listener=drift_listener,
        promotions=promotions,
        metrics=metrics,
    )
