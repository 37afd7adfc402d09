"""A predictor image carries neither scikit-learn nor the full MLflow."""

from __future__ import annotations

import subprocess
import sys

ABSENT = ("sklearn", "scipy", "pandas", "matplotlib", "flask", "faultline.detector.fit")
"""What scoring does without. SciPy is imported at the first look for drift; the image does not have
the others. Flask stands for the full MLflow: `mlflow-skinny` imports under the same name, and takes
pandas and SciPy along only where it finds them."""


def _run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout.strip() or done.stderr


def test_what_judges_imports_numpy_alone() -> None:
    script = (
        "import sys, faultline.judge, services.predictor.assembly\n"
        f"print([name for name in {(*ABSENT, 'mlflow')!r} if name in sys.modules])"
    )
    assert _run(script) == "[]"


def test_the_whole_predictor_can_be_imported_where_the_others_are_not_installed() -> None:
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
        "import services.predictor.bootstrap\n"
        "print('imported')"
    )
    assert _run(script) == "imported"


def test_the_client_of_kafka_is_imported_only_when_it_is_chosen() -> None:
    script = (
        "import sys, services.predictor.bootstrap\n"
        "print([name for name in ('kafka', 'confluent_kafka') if name in sys.modules])"
    )
    assert _run(script) == "[]"
