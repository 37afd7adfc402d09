"""Settings of the detector given on a benchmark's command line, and the ablation's variants."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping, Sequence
from dataclasses import fields

from faultline.detector.fit import FitConfig

ABLATION: Sequence[tuple[str, Mapping[str, object]]] = (
    ("no smoothing", {"window_rows": 1}),
    ("at most two clusters", {"k_max": 2}),
    ("always Euclidean distance", {"distance": "euclidean"}),
    ("always covariance distance", {"distance": "covariance"}),
    ("drift not recognised", {"drift": "off"}),
    ("never settles", {"settle_after_s": None}),
)
"""What is switched off, and by which fields of FitConfig."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config key=value`, which may be repeated."""
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="fit with another value of this field of FitConfig; may be repeated",
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
