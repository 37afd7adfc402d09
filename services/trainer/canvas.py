"""Saves figures without a display, and makes names fit to be drawn."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DPI = 110


def plain(name: str, longest: int) -> str:
    """A name as text: `$` would begin a formula, and the font has Latin, Greek and Cyrillic."""
    readable = "".join(letter if ord(letter) < 0x530 else "?" for letter in name)
    shortened = readable if len(readable) <= longest else f"{readable[: longest - 1]}…"
    return shortened.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    FigureCanvasAgg(figure).print_figure(path, dpi=_DPI, metadata={"Software": "Faultline"})
