"""The Helm chart, rendered by the `helm` of this machine where there is one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

CHART = Path(__file__).parents[3] / "deploy/helm/faultline"
LEAST = {
    "kafka": {"bootstrapServers": "kafka:9092"},
    "database": {"host": "postgres", "password": "p@ss w/rd:+%"},
    "mlflow": {"database": {"host": "postgres", "password": "other"}},
}
"""Values without which nothing is rendered."""

Manifest = dict[str, Any]


class Rendered(NamedTuple):
    """What the chart makes of values."""

    manifests: tuple[Manifest, ...]

    def of(self, kind: str) -> dict[str, Manifest]:
        """All of a kind, by name."""
        return {each["metadata"]["name"]: each for each in self.manifests if each["kind"] == kind}

    def pods(self) -> dict[str, Manifest]:
        """Templates of pods (labels and specification), by their component."""
        kinds = ("Deployment", "StatefulSet", "Job")
        templates = [each["spec"]["template"] for each in self.manifests if each["kind"] in kinds]
        return {
            each["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in templates
        }


class Chart:
    """Renders the chart as `helm install` would."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._file = folder / "values.yaml"

    def run(
        self, values: Mapping[str, Any], options: Iterable[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Render the values over the least that is needed, whatever comes of it."""
        self._file.write_text(yaml.safe_dump(_merged(LEAST, values)))
        command = [self._program, "template", "plant", str(CHART), "--values", str(self._file)]
        return subprocess.run(
            [*command, "--kube-version", "1.31.0", *options],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def render(self, **values: Any) -> Rendered:
        """What is made of the values."""
        done = self.run(values)
        assert done.returncode == 0, done.stderr
        return Rendered(tuple(each for each in yaml.safe_load_all(done.stdout) if each))


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        inner = merged.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[name] = _merged(inner, value) if both else value  # type: ignore[arg-type]
    return merged


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    program = shutil.which("helm")
    if program is None:
        pytest.skip("no helm on this machine; the values alone are tested against their schema")
    return Chart(program, tmp_path_factory.mktemp("chart"))
