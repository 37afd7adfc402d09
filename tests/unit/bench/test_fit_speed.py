"""The benchmark of fitting on few rows: what it prints, not how fast."""

from __future__ import annotations

import pytest

from bench import fit_speed


def test_the_plain_loop_and_both_sizes_of_faultline_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit_speed.main(["--quick"])

    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("|")
    ]
    assert [(row[0].split(":")[0], row[1], row[2]) for row in cells[2:]] == [
        ("plain loop", "2,000", "4"),
        ("Faultline", "2,000", "4"),
        ("Faultline", "4,000", "4"),
        ("Faultline", "2,000", "4"),
        ("Faultline", "4,000", "4"),
    ]


def test_the_aims_are_printed_beside_what_was_reached(capsys: pytest.CaptureFixture[str]) -> None:
    fit_speed.main(["--quick"])

    printed = capsys.readouterr().out
    assert printed.count("times as fast as the plain loop (aim: at least 20)") == 2
    assert printed.count("times as long (aim: at most 4)") == 2
