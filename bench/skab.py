"""SKAB, the Skoltech anomaly benchmark, by the protocol of its published leaderboard.

Per file: fit on the first 400 rows, predict the rest; pool the rows of all files. Labels serve the
figures alone. Run `python bench/skab.py --help`; bench/README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bench.configuration import ABLATION, add_config_option, lacking
from bench.outcome import Confusion, Outcome, judged, under_the_alarm_rule
from bench.recordings import Recording, UnreadableData, data_folder, read_recording
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
NOTHING = Confusion()
NAMES = ("F1", "FAR %", "MAR %")
HEADER = (*NAMES, *(f"{name} alarm" for name in NAMES))


@dataclass(frozen=True)
class Figures:
    """One method's counts: of rows above its threshold, and of rows with an alarm open."""

    rows: Confusion = NOTHING
    alarms: Confusion = NOTHING

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.rows + other.rows, self.alarms + other.alarms)


ByGroup = Mapping[str, Figures]
"""Figures per group of files."""


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
                unlabelled="0.0",
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
    """Judge the rows after training by every peer and each of its thresholds."""
    from bench.peers import PEERS, always  # noqa: PLC0415 - the extra `peers` may be absent

    test = recording.rows(slice(TRAINING_ROWS, None))
    scored = np.ones(len(test), dtype=bool)
    outcomes = {}
    for name, learn in {**PEERS, "always alarming": always}.items():
        for threshold, bad in learn(recording.values[:TRAINING_ROWS]).bad(test.values).items():
            outcome = under_the_alarm_rule(test.timestamps_ms, bad, scored)
            outcomes[f"{name}, {threshold}" if threshold else name] = outcome
    return Said(outcomes)


def figures(recording: Recording, outcome: Outcome) -> Figures:
    """Hold an outcome on the rows after training against their labels."""
    actual = recording.fault[TRAINING_ROWS:] != ""
    return Figures(Confusion.of(outcome.bad, actual), Confusion.of(outcome.alarm, actual))


def pooled(by_group: ByGroup) -> Figures:
    """Add up the rows of all groups."""
    return sum(by_group.values(), Figures())


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


def cells(confusion: Confusion) -> list[str]:
    """F1, false and missed alarm rate as text."""
    return [f"{confusion.f1:.3f}", f"{confusion.far_percent:.2f}", f"{confusion.mar_percent:.2f}"]


def print_pooled(results: Mapping[str, ByGroup]) -> None:
    """Print one line per method over all files."""
    header = [
        "all 34 files pooled",
        "F1",
        "FAR %",
        "MAR %",
        "F1 alarm",
        "FAR % alarm",
        "MAR % alarm",
    ]
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
    base: Mapping[str, object],
    whole: Mapping[str, ByGroup],
    pool: Executor,
) -> dict[str, ByGroup]:
    """Fit with one part switched off at a time and print the change in every figure."""
    results: dict[str, ByGroup] = {}
    lines = []
    for part, overrides in ABLATION:
        absent = lacking(overrides)
        if absent:
            print(f"left out: {part}: FitConfig has no field {', '.join(absent)} yet")
            continue
        changed = faultline_figures(recordings, FitConfig(**{**base, **overrides}), pool)
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


def difference(before: Confusion, after: Confusion) -> list[str]:
    """How much F1, false and missed alarm rate grew, as text."""
    return [
        f"{after.f1 - before.f1:+.3f}",
        f"{after.far_percent - before.far_percent:+.2f}",
        f"{after.mar_percent - before.mar_percent:+.2f}",
    ]


def as_json(results: Mapping[str, ByGroup]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Figures per method and group, with the pooled ones as the group `all`."""
    return {
        name: {
            group: {
                kind: {
                    "f1": confusion.f1,
                    "far_percent": confusion.far_percent,
                    "mar_percent": confusion.mar_percent,
                }
                for kind, confusion in (("rows", counted.rows), ("alarm", counted.alarms))
            }
            for group, counted in {**by_group, "all": pooled(by_group)}.items()
        }
        for name, by_group in results.items()
    }


def one_process_per_core() -> Executor:
    """Start processes that each keep to one core, so that they don't wait for one another."""
    return ProcessPoolExecutor(initializer=partial(threadpool_limits, 1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=data_folder("skab"))
    parser.add_argument("--no-peers", action="store_true", help="measure Faultline alone")
    parser.add_argument("--ablation", action="store_true", help="switch off one part at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    add_config_option(parser)
    options = parser.parse_args(arguments)
    overrides = dict(options.config)

    recordings = read(options.path)
    with one_process_per_core() as pool:
        start = time.perf_counter()
        own = faultline_figures(recordings, FitConfig(**overrides), pool)
        seconds = time.perf_counter() - start
        results = {f"Faultline, {variant}": by_group for variant, by_group in own.items()}
        if not options.no_peers:
            results |= measured(recordings, pool.map(by_peers, recordings))
        print_pooled(results)
        print_groups(results)
        print(f"Faultline: {len(recordings)} files fitted and judged twice in {seconds:.1f} s")
        if options.ablation:
            ablation = print_ablation(recordings, overrides, own, pool)
            results |= {f"ablation: {name}": by_group for name, by_group in ablation.items()}
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
