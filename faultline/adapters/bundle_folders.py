"""Bundles in folders of this machine, for a predictor that judges by what it is given.

Nothing is registered and nothing promoted: what stands in the folder is the Production version.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from faultline.bundle import MANIFEST
from faultline.errors import NotFound, Unavailable
from faultline.ports.registry import ModelVersion, Stage

_SUM_TAG = "bundle_sha256"
# As `faultline score` names the version of a folder.
_VERSION_CHARACTERS = 12


class BundleFolders:
    """One folder per model; see `faultline.ports.registry.ProductionModels`.

    A version is named by the begin of the sum of its manifest: another bundle in the same folder is
    another version.

    Parameters
    ----------
    folders
        By model name.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    def models(self) -> Sequence[str]:
        """Names of the models, sorted."""
        return sorted(self._folders)

    def production(self, name: str) -> ModelVersion | None:
        """What stands in the folder; raises `Unavailable` while there is no bundle."""
        if name not in self._folders:
            return None
        manifest = self._folders[name] / MANIFEST
        try:
            content = manifest.read_bytes()
            written_s = manifest.stat().st_mtime
        except OSError as error:
            raise Unavailable(f"{manifest}: cannot be read: {error.strerror}") from error
        total = hashlib.sha256(content).hexdigest()
        return ModelVersion(
            name=name,
            version=total[:_VERSION_CHARACTERS],
            stage=Stage.PRODUCTION,
            run_id="",
            created_at_ms=int(written_s * 1000),
            tags={_SUM_TAG: total},
            aliases=frozenset({"production"}),
        )

    def staging(self, name: str) -> ModelVersion | None:  # noqa: ARG002 - the port's signature
        """None: a folder has no challenger."""
        return None

    def download(self, name: str, version: str, to: Path) -> Path:
        """Copy the version's files into the folder `to`; raises `NotFound` when it has gone."""
        present = self.production(name)
        if present is None or present.version != version:
            raise NotFound(f"{self._folders.get(name)}: there is no version {version} any more")
        try:
            files = [path for path in self._folders[name].iterdir() if path.is_file()]
            to.mkdir(parents=True, exist_ok=True)
            for path in files:
                shutil.copyfile(path, to / path.name)
        except OSError as error:
            raise Unavailable(f"{self._folders[name]}: cannot be copied: {error}") from error
        return to
