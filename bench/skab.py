"""SKAB, the Skoltech anomaly benchmark, by the protocol of its published leaderboard.

Per file: fit on the first 400 rows, predict the rest; pool the rows of all files. Labels serve the
figures alone. Run `python bench/skab.py --help`; bench/README.md says how to read the table.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.figures import ByGroup, Confusion, Figures, as_json, cells, difference, pooled
from bench.learning import ASSUMED_CONTAMINATION, Peer, always, running_means
from bench.options import lacking, parse
from bench.outcome import Outcome, judged, under_the_alarm_rule
from bench.recordings import Recording, UnreadableData, read_recording
from bench.table import table
from faultline.detector import MachineHistory, UnfitHistory
from faultline.detector.fit import FitConfig, fit

TRAINING_ROWS = 400
GROUPS = ("valve1", "valve2", "other")
PUBLISHED = (
    ("Conv-AE", 0.78, 13.55, 28.02),
    ("MSET", 0.78, 39.73, 14.13),
    ("T2+Q", 0.76, 26.62, 24.92),
)
"""F1, false and missed alarm rate in % as the leaderboard gives them."""
ABLATION: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("no smoothing", {"window_rows": 1}),
    ("at most two clusters", {"k_max": 2}),
    ("always Euclidean distance", {"distance": "euclidean"}),
    ("always covariance distance", {"distance": "covariance"}),
    ("drift not recognised", {"drift": "off"}),
    ("never settles", {"settle_after_s": None}),
)
"""What is switched off, and by which fields of FitConfig."""
NAMES = ("F1", "FAR %", "MAR %")
HEADER = (*NAMES, *(f"{name} alarm" for name in NAMES))


def read(folder: Path) -> list[Recording]:
    """Read the labelled files of every group.

    Raises
    ------
    UnreadableData
        When a group has none, or a file no more than the training rows.
    """
    recordings = []
    for group in GROUPS:
        paths = sorted((folder / group).glob("*.csv"), key=lambda path: (len(path.stem), path.stem))
        if not paths:
            raise UnreadableData(f"{folder / group} has no CSV files; give SKAB's data folder")
        recordings += [
            read_recording(
                path,
                delimiter=";",
                label_column="anomaly",
                ignored=frozenset({"changepoint"}),
            )
            for path in paths
        ]
    for recording in recordings:
        if len(recording) <= TRAINING_ROWS:
            raise UnreadableData(
                f"{recording.group}/{recording.name} has {len(recording)} rows; the first "
                f"{TRAINING_ROWS} are for training and some must be left"
            )
    return recordings


@dataclass(frozen=True)
class Said:
    """What was said of one file: an outcome per method, and why Faultline refused it if it did."""

    outcomes: Mapping[str, Outcome]
    refusal: str | None = None


def by_faultline(recording: Recording, config: FitConfig) -> Said:
    """Fit on the first rows and judge the rest, with an empty window and with one carried on.

    A file that the detector refuses to be fitted to has no alarm on any row.
    """
    train = recording.rows(slice(TRAINING_ROWS))
    test = recording.rows(slice(TRAINING_ROWS, None))
    history = MachineHistory(recording.name, train.timestamps_ms, train.values)
    try:
        detector = fit(recording.sensors, [history], config).detector
    except UnfitHistory as error:
        silent = Outcome(np.zeros(len(test), bool), np.zeros(len(test), bool), ())
        refusal = f"{recording.group}/{recording.name}: {error}"
        return Said({"cold": silent, "stream": silent}, refusal)
    stream = judged(detector, recording).outcome.after(TRAINING_ROWS)
    return Said({"cold": judged(detector, test).outcome, "stream": stream})


def by_peers(recording: Recording) -> Said:
    """Judge the rows after training by every peer, on rows and on means as long as Faultline's.

    On means PyOD's thresholds of an assumed contamination are left out: the table is long enough.
    """
    from bench.peers import PEERS  # noqa: PLC0415 - the extra `peers` may be absent

    outcomes = peer_outcomes(recording, always, "always alarming", 1)
    means_rows = FitConfig().default_window_rows
    for name, learn in PEERS.items():
        outcomes |= peer_outcomes(recording, learn, name, 1)
        on_means = peer_outcomes(recording, learn, f"{name} on {means_rows}-row means", means_rows)
        outcomes |= {
            name: outcome
            for name, outcome in on_means.items()
            if not name.endswith(ASSUMED_CONTAMINATION)
        }
    return Said(outcomes)


def peer_outcomes(
    recording: Recording, learn: Peer, name: str, means_rows: int
) -> dict[str, Outcome]:
    """Judge the rows after training by each of a peer's thresholds.

    It learns from the rows' running means; those of the first rows judged reach into training.
    """
    values = running_means(recording.values, means_rows)
    trained = TRAINING_ROWS - (means_rows - 1)
    times = recording.timestamps_ms[TRAINING_ROWS:]
    scored = np.ones(len(times), dtype=bool)
    return {
        f"{name}, {threshold}" if threshold else name: under_the_alarm_rule(times, bad, scored)
        for threshold, bad in learn(values[:trained]).bad(values[trained:]).items()
    }


def figures(recording: Recording, outcome: Outcome) -> Figures:
    """Hold an outcome on the rows after training against their labels."""
    actual = recording.fault[TRAINING_ROWS:] != ""
    return Figures(Confusion.of(outcome.bad, actual), Confusion.of(outcome.alarm, actual))


def measured(recordings: Sequence[Recording], said: Iterable[Said]) -> dict[str, ByGroup]:
    """Count per method and group; `said` holds what was said of every recording."""
    counted: dict[str, dict[str, Figures]] = defaultdict(lambda: defaultdict(Figures))
    for recording, of_it in zip(recordings, said, strict=True):
        for name, outcome in of_it.outcomes.items():
            counted[name][recording.group] += figures(recording, outcome)
    return {name: dict(by_group) for name, by_group in counted.items()}


def faultline_figures(
    recordings: Sequence[Recording], config: FitConfig, pool: Executor
) -> dict[str, ByGroup]:
    """Fit to every file, judge it and count; names the files that were refused."""
    said = list(pool.map(partial(by_faultline, config=config), recordings))
    for refusal in (of_it.refusal for of_it in said if of_it.refusal is not None):
        print(f"refused, so without an alarm: {refusal}")
    return measured(recordings, said)


def print_pooled(results: Mapping[str, ByGroup]) -> None:
    """Print one line per method over all files."""
    header = ["all files pooled", *HEADER]
    lines = [
        [name, *cells(total.rows), *cells(total.alarms)]
        for name, total in ((name, pooled(by_group)) for name, by_group in results.items())
    ]
    lines += [
        [f"{name} (published)", f"{f1:.2f}", f"{far:.2f}", f"{mar:.2f}", "", "", ""]
        for name, f1, far, mar in PUBLISHED
    ]
    print(table(header, lines), end="\n\n")


def print_groups(results: Mapping[str, ByGroup]) -> None:
    """Print each group alone: nothing was chosen on any group, so each is a left-out one."""
    header = ["rows, F1 / FAR % / MAR %", *GROUPS]
    lines = [
        [name, *(" / ".join(cells(by_group[group].rows)) for group in GROUPS)]
        for name, by_group in results.items()
    ]
    print(table(header, lines), end="\n\n")


def print_ablation(
    recordings: Sequence[Recording],
    base: Mapping[str, Any],
    whole: Mapping[str, ByGroup],
    pool: Executor,
    parts: Sequence[tuple[str, Mapping[str, Any]]] = ABLATION,
) -> dict[str, ByGroup]:
    """Fit with one part switched off at a time and print the change in every figure."""
    results: dict[str, ByGroup] = {}
    lines = []
    for part, overrides in parts:
        absent = lacking(overrides)
        if absent:
            print(f"left out: {part}: FitConfig has no field {', '.join(absent)} yet")
            continue
        try:
            config = FitConfig(**{**base, **overrides})
        except ValueError as error:
            print(f"left out: {part}: {error}")
            continue
        changed = faultline_figures(recordings, config, pool)
        for variant, by_group in changed.items():
            results[f"{part}, {variant}"] = by_group
            before, after = pooled(whole[variant]), pooled(by_group)
            pairs = ((before.rows, after.rows), (before.alarms, after.alarms))
            lines.append(
                [f"{part}, {variant}", *(cell for pair in pairs for cell in difference(*pair))]
            )
    header = ["change when", *HEADER]
    print(table(header, lines), end="\n\n")
    return results


def one_process_per_core() -> Executor:
    """Start processes that each keep to one core, so that they don't wait for one another."""
    # Not forked: a process with threads, as NumPy's, must not be.
    return ProcessPoolExecutor(
        mp_context=get_context("spawn"), initializer=threadpool_limits, initargs=(1,)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(arguments, description=__doc__, data="skab", ablation=True)
    try:
        recordings = read(options.path)
    except UnreadableData as error:
        raise SystemExit(str(error)) from error
    with one_process_per_core() as pool:
        start = time.perf_counter()
        own = faultline_figures(recordings, FitConfig(**options.overrides), pool)
        seconds = time.perf_counter() - start
        results = {f"Faultline, {variant}": by_group for variant, by_group in own.items()}
        if options.peers:
            results |= measured(recordings, pool.map(by_peers, recordings))
        print_pooled(results)
        print_groups(results)
        print(f"Faultline: {len(recordings)} files fitted and judged twice in {seconds:.1f} s")
        if options.ablation:
            ablation = print_ablation(recordings, options.overrides, own, pool)
            results |= {f"ablation: {name}": by_group for name, by_group in ablation.items()}
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
