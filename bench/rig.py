"""The hydraulic rig: every labelled fault as an alarm, how late, and the false ones.

Fits on healthy.csv alone, then plays each rig-*.csv as a stream of its own, from an empty window.
Run `python bench/rig.py --help`; bench/README.md says how to read the tables.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.episodes import FaultFigures, Report, fault_spans, report
from bench.learning import ASSUMED_CONTAMINATION, Peer, running_means
from bench.options import parse
from bench.outcome import Judged, Outcome, judged, under_the_alarm_rule
from bench.recordings import Mask, Recording, UnreadableData, read_recording
from bench.table import table
from faultline.detector import MachineHistory
from faultline.detector.fit import FitConfig, fit

HEALTHY = "healthy.csv"
TOP_SENSORS = 3
QUANTILES = (0.05, 0.5, 0.95)


def read(folder: Path) -> tuple[Recording, list[Recording]]:
    """Read the healthy history and the streams.

    Raises
    ------
    UnreadableData
        When either is absent.
    """
    paths = sorted(folder.glob("rig-*.csv"))
    if not (folder / HEALTHY).is_file() or not paths:
        raise UnreadableData(f"{folder} has no {HEALTHY} or no rig-*.csv; give the rig's folder")
    healthy, *streams = (
        read_recording(path, delimiter=",", label_column="fault", ignored=frozenset())
        for path in (folder / HEALTHY, *paths)
    )
    return healthy, streams


def peer_reports(
    peers: Mapping[str, Peer],
    history: Recording,
    streams: Sequence[Recording],
    window_rows: int,
) -> Iterator[tuple[str, Report]]:
    """Measure every peer on raw rows and on the means of the window that Faultline chose."""
    for view, rows in (("rows", 1), ("window means", window_rows)):
        train, *tests = (running_means(part.values, rows) for part in (history, *streams))
        for name, learn in peers.items():
            fitted = learn(train)
            bad = [fitted.bad(test) for test in tests]
            for threshold in fitted.thresholds:
                if threshold == ASSUMED_CONTAMINATION:
                    continue
                outcomes = [
                    _aligned(stream, of_it[threshold])
                    for stream, of_it in zip(streams, bad, strict=True)
                ]
                yield f"{name}, {threshold}, {view}", report(streams, outcomes, window_rows)


def _aligned(stream: Recording, bad: Mask) -> Outcome:
    """The rows before the first whole window have no score."""
    unscored = len(stream) - len(bad)
    scored = np.arange(len(stream)) >= unscored
    padded = np.concatenate((np.zeros(unscored, dtype=bool), bad))
    return under_the_alarm_rule(stream.timestamps_ms, padded, scored)


@dataclass(frozen=True)
class FaultDetail:
    """What Faultline says in one fault: quantiles of its score, and the sensors it names most."""

    recording: str
    fault: str
    score_quantiles: tuple[float, ...]
    top_sensors: tuple[str, ...]


def fault_details(recording: Recording, said: Judged) -> list[FaultDetail]:
    """Describe each labelled fault, or the healthy rows of a recording that has none."""
    spans = fault_spans(recording.fault) or [("(healthy)", 0, len(recording))]
    details = []
    for fault, start, end in spans:
        score = said.score[start:end]
        named = Counter(
            said.top_sensors[row][0]
            for row in range(start, end)
            if said.outcome.bad[row] and said.top_sensors[row]
        )
        quantiles = np.quantile(score[np.isfinite(score)], QUANTILES).tolist()
        sensors = tuple(name for name, _ in named.most_common(TOP_SENSORS))
        details.append(FaultDetail(recording.name, fault, tuple(quantiles), sensors))
    return details


def print_faults(reports: Mapping[str, Report]) -> None:
    """Print when each method raised the alarm in each fault, and the part above the threshold."""
    first = next(iter(reports.values()))
    lines = [[name, *map(_fault_cell, found.faults)] for name, found in reports.items()]
    print(table(["alarm after, rows above", *(f.fault for f in first.faults)], lines), end="\n\n")


def _fault_cell(found: FaultFigures) -> str:
    share = f"{100 * found.bad_share:.1f} %"
    if found.delay_s is None:
        return f"missed, {share}"
    return f"{'carried on' if found.carried_from else f'{found.delay_s:.0f} s'}, {share}"


def print_healthy(reports: Mapping[str, Report]) -> None:
    """Print the false alarms and the false part of the healthy rows of each stream."""
    first = next(iter(reports.values()))
    lines = [
        [
            name,
            *(f"{healthy.alarms}, {100 * healthy.bad_share:.2f} %" for healthy in found.healthy),
            str(sum(healthy.alarms for healthy in found.healthy)),
        ]
        for name, found in reports.items()
    ]
    names = [f"{healthy.recording} ({healthy.rows})" for healthy in first.healthy]
    print(table(["false alarms, rows above", *names, "alarms"], lines), end="\n\n")


def print_details(details: Sequence[FaultDetail]) -> None:
    """Print what Faultline's score was in each fault and which sensors it named."""
    header = ["Faultline in", *(f"score {100 * q:.0f} %" for q in QUANTILES), "names first"]
    lines = [
        [
            f"{detail.recording}: {detail.fault}",
            *(f"{quantile:.2f}" for quantile in detail.score_quantiles),
            ", ".join(detail.top_sensors) or "none",
        ]
        for detail in details
    ]
    print(table(header, lines), end="\n\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(arguments, description=__doc__, data="hydraulic", ablation=False)
    try:
        history, streams = read(options.path)
    except UnreadableData as error:
        raise SystemExit(str(error)) from error
    learnt = fit(
        history.sensors,
        [MachineHistory(history.name, history.timestamps_ms, history.values)],
        FitConfig(**options.overrides),
    )
    window_rows = learnt.detector.window_rows
    said = [judged(learnt.detector, stream) for stream in streams]
    reports = {"Faultline": report(streams, [of_it.outcome for of_it in said], window_rows)}
    if options.peers:
        from bench.peers import PEERS  # noqa: PLC0415 - the extra `peers` may be absent

        reports |= peer_reports(PEERS, history, streams, window_rows)
    details = [
        detail
        for stream, of_it in zip(streams, said, strict=True)
        for detail in fault_details(stream, of_it)
    ]
    print(f"window: {learnt.window_reason}; clusters: {learnt.k_reason}\n")
    print_faults(reports)
    print_healthy(reports)
    print_details(details)
    if options.json is not None:
        figures = {
            "methods": {name: asdict(found) for name, found in reports.items()},
            "details": [asdict(detail) for detail in details],
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
