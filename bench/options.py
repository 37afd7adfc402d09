"""The command line that the benchmarks on recorded faults share."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.recordings import data_folder
from faultline.detector.fit import FitConfig

PEER_PACKAGES = ("pyod", "river")


@dataclass(frozen=True)
class Options:
    """What a benchmark was asked for.

    Attributes
    ----------
    path
        The folder of the data.
    overrides
        Fields of FitConfig with other values than their defaults.
    """

    path: Path
    peers: bool
    ablation: bool
    json: Path | None
    overrides: Mapping[str, Any]


def parse(
    arguments: Sequence[str] | None, *, description: str | None, data: str, ablation: bool
) -> Options:
    """Read a command line; exits with a message where it cannot be followed.

    Parameters
    ----------
    arguments
        None for those of this process.
    data
        Name of the data set that is read where no path is given.
    ablation
        Whether the benchmark has `--ablation`.
    """
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("path", nargs="?", type=Path, default=data_folder(data), help="the folder of the data")
    add("--no-peers", action="store_true", help="measure Faultline alone")
    if ablation:
        add("--ablation", action="store_true", help="switch off one part at a time")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add(
        "--config",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="fit with another value of this field of FitConfig; may be repeated",
    )
    given = parser.parse_args(arguments)
    overrides = dict(given.config)
    try:
        FitConfig(**overrides)
    except (TypeError, ValueError) as error:
        parser.error(f"--config: {error}")
    absent = [name for name in PEER_PACKAGES if find_spec(name) is None]
    if absent and not given.no_peers:
        parser.error(
            f"the peers need {', '.join(absent)}: install the extra (pip install '.[peers]'), "
            "or leave them out with --no-peers"
        )
    return Options(
        path=given.path,
        peers=not given.no_peers,
        ablation=ablation and given.ablation,
        json=given.json,
        overrides=overrides,
    )


def lacking(overrides: Mapping[str, object]) -> list[str]:
    """Name the overrides that FitConfig has no field for."""
    known = {field.name for field in fields(FitConfig)}
    return [name for name in overrides if name not in known]


def _setting(text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    if lacking({name: value}):
        known = ", ".join(field.name for field in fields(FitConfig))
        raise argparse.ArgumentTypeError(f"FitConfig has no field {name!r}; it has {known}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
