"""What a predictor's image leaves out must not be needed to score."""

from __future__ import annotations

import subprocess
import sys


def test_scoring_imports_neither_scikit_learn_nor_scipy() -> None:
    code = "import faultline.detector, sys; print({'sklearn', 'scipy'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_detector_imports_nothing_of_the_rest_of_the_package() -> None:
    code = (
        "import faultline.detector.fit, sys; "
        "print([m for m in sys.modules if m.startswith('faultline.') "
        "and not m.startswith('faultline.detector')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
