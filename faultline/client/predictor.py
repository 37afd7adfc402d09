"""Asking the predictor which versions judge."""

from __future__ import annotations

import msgspec

from faultline.client.service import ServiceClient


class PredictorClient(ServiceClient):
    """Speaks to one predictor; a context manager.

    Every method raises `Unavailable` when it does not answer.

    Parameters
    ----------
    url
        Base URL, such as ``http://127.0.0.1:8000``.
    transport
        Another way to carry the requests; None for the network.
    """

    _name = "predictor"

    def live_version(self, machine_type: str) -> str | None:
        """The version that judges a machine type at this moment; None when there is none."""
        models = self._ask("GET", "/api/v1/model", _Models).models
        return next((one.version for one in models if one.machine_type == machine_type), None)


class _LiveModel(msgspec.Struct, frozen=True):
    machine_type: str
    version: str | None = None


class _Models(msgspec.Struct, frozen=True):
    models: list[_LiveModel]
