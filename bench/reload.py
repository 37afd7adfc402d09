"""What a promotion costs those who are being served: on the real Kafka, PostgreSQL and MLflow.

Readings stream and predictions are asked for over HTTP, first undisturbed, then while a version
that the predictor has never seen is promoted every second, through the trainer's API. A challenger
scores in the shadow all the while. Run `python -m bench.reload --help`.
"""

from __future__ import annotations

import argparse
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from bench.reload_load import (
    KIND,
    NAME,
    PATIENCE_S,
    SENSORS,
    Stream,
    ask,
    detector,
    reading,
    register,
)
from bench.table import table
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.judge import Model
from faultline.local.home import Endpoints
from faultline.local.ports import Ports
from faultline.local.stack import Stack
from faultline.readings import encode
from faultline.settings import KafkaSettings, RegistrySettings
from services.predictor.slot import Loaded, ModelSlot, Origin

POLL_S = 0.2
"""How long the predictor waits for readings at most; a reading may be delayed by so much."""
MOST_SWAP_MS = 1.0
MOST_ANSWER_TO_VERDICT_S = 2.0
MOST_TIMES_P99 = 2.0
_SWAPS = 10_000
_WARM_UP_S = 5.0


@dataclass(frozen=True)
class Phase:
    """What was measured in one of the two phases."""

    delays_ms: np.ndarray
    predict_ms: np.ndarray


def swap_ms() -> np.ndarray:
    """How long swapping a loaded version takes, shape (n,), while another thread reads the slot."""
    slot = ModelSlot()
    loaded = [
        Loaded(Model(NAME, str(number), detector(2.0 + number)), 0, Origin.REGISTRY)
        for number in range(2)
    ]
    slot.swap(KIND, loaded[0])
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            slot.model(KIND)
            time.sleep(0.0001)

    reader = threading.Thread(target=read)
    reader.start()
    taken = np.empty(_SWAPS)
    for number in range(_SWAPS):
        begun_s = time.perf_counter()
        slot.swap(KIND, loaded[number % 2])
        taken[number] = 1_000 * (time.perf_counter() - begun_s)
    stop.set()
    reader.join()
    return taken


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Wait for a condition; raises `TimeoutError`."""
    end_s = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end_s:
            raise TimeoutError(f"in vain waited for {what}")
        time.sleep(0.02)


def measure(platform: Endpoints, seconds: float) -> tuple[Phase, Phase, np.ndarray]:
    """Serve undisturbed, then with promotions; returns both, and answer to verdict in seconds."""
    registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
    # One to begin with, one for each second, and the last is the challenger.
    versions = [register(registry, 8.0 + number / 100) for number in range(int(seconds) + 2)]
    broker = KafkaBroker(KafkaSettings(kafka_bootstrap_servers=platform.kafka), "bench")
    body = encode(reading("m-0", [0.1] * len(SENSORS)))
    try:
        with (
            httpx.Client(base_url=platform.trainer, trust_env=False, timeout=30.0) as trainer,
            ProcessPoolExecutor(1, get_context("spawn")) as pool,
            Stream(broker) as stream,
        ):

            def promote(version: str) -> float:
                answer = trainer.post(
                    f"/api/v1/ml/models/{NAME}/versions/{version}/promote",
                    json={"stage": "Production", "reason": "benchmark"},
                )
                answer.raise_for_status()
                return time.monotonic()

            def serving() -> Future[list[float]]:
                return pool.submit(ask, platform.predictor, body, seconds)

            promote(versions[0])
            wait_until(lambda: versions[0] in stream.seen.first_s, "a first verdict")
            pool.submit(ask, platform.predictor, body, _WARM_UP_S).result()
            begun_s = time.monotonic()
            asking = serving()
            undisturbed_ms = np.array(asking.result())
            changed_s = time.monotonic()
            asking = serving()
            answered_s: dict[str, float] = {}
            for number, version in enumerate(versions[1:-1]):
                time.sleep(max(0.0, changed_s + number - time.monotonic()))
                answered_s[version] = promote(version)
            disturbed_ms = np.array(asking.result())
            wait_until(lambda: versions[-2] in stream.seen.first_s, "the last version")
            end_s = time.monotonic()
            wait_until(
                lambda: all(
                    key in stream.seen.arrived_s
                    for key, at_s in list(stream.seen.sent_s.items())
                    if at_s < end_s
                ),
                "the last verdicts",
            )
            seen = stream.seen
    finally:
        broker.close()
    until_verdict_s = np.array(
        [seen.first_s[one] - at_s for one, at_s in answered_s.items() if one in seen.first_s]
    )
    if len(until_verdict_s) < len(answered_s):
        print(f"{len(answered_s) - len(until_verdict_s)} versions were replaced before a verdict")
    return (
        Phase(seen.delays_ms(begun_s, changed_s), undisturbed_ms),
        Phase(seen.delays_ms(changed_s, end_s), disturbed_ms),
        until_verdict_s,
    )


def report(
    swaps_ms: np.ndarray, before: Phase, during: Phase, until_verdict_s: np.ndarray
) -> tuple[str, bool]:
    """The table, and whether every aim was met."""

    def p99(values: np.ndarray) -> float:
        return float(np.percentile(values, 99))

    added_s = (during.delays_ms.max() - before.delays_ms.max()) / 1_000
    times = p99(during.predict_ms) / p99(before.predict_ms)
    aims = [
        ("swap, p99 of 10,000, ms", p99(swaps_ms), MOST_SWAP_MS),
        ("longest delay of a reading, more than undisturbed, s", added_s, POLL_S),
        (
            "promote answered to first verdict, longest, s",
            until_verdict_s.max(),
            MOST_ANSWER_TO_VERDICT_S,
        ),
        ("p99 of POST /api/v1/predict, times that undisturbed", times, MOST_TIMES_P99),
    ]
    rows = [
        [what, f"{value:.3f}", f"at most {limit:g}", "met" if value <= limit else "MISSED"]
        for what, value, limit in aims
    ]
    figures = [
        [
            name,
            *(
                f"{figure(values):.1f}"
                for values in (phase.delays_ms, phase.predict_ms)
                for figure in (np.median, p99, np.max)
            ),
            str(len(phase.predict_ms)),
        ]
        for name, phase in (("undisturbed", before), ("a promotion every second", during))
    ]
    header = [
        "ms",
        *(f"{what} {part}" for what in ("reading", "predict") for part in ("p50", "p99", "max")),
        "predictions",
    ]
    text = "\n\n".join(
        [
            table(header, figures),
            table(["", "measured", "aim", ""], rows),
            f"Promote answered to first verdict: median {np.median(until_verdict_s):.3f} s of "
            f"{len(until_verdict_s)}.",
        ]
    )
    return text, all(value <= limit for _, value, limit in aims)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 1 when an aim was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="how long each phase takes")
    parser.add_argument("--json", type=Path, help="write the measured figures here")
    options = parser.parse_args(arguments)
    swaps_ms = swap_ms()
    # MLflow tells of each version that is registered.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with (
        TemporaryDirectory(prefix="faultline-bench-") as folder,
        Stack(Path(folder) / "home", Ports.free()) as stack,
    ):
        before, during, until_verdict_s = measure(stack.endpoints, options.seconds)
    text, met = report(swaps_ms, before, during, until_verdict_s)
    print(text)
    if options.json is not None:
        figures = {
            "swap_ms": swaps_ms,
            "undisturbed_reading_ms": before.delays_ms,
            "undisturbed_predict_ms": before.predict_ms,
            "promoting_reading_ms": during.delays_ms,
            "promoting_predict_ms": during.predict_ms,
            "answer_to_verdict_s": until_verdict_s,
        }
        options.json.write_text(json.dumps({key: kept.tolist() for key, kept in figures.items()}))
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
