"""Asking the predictor which versions judge, how a challenger does, and what happens now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import msgspec

from faultline.client.live import LiveEvent, parse
from faultline.client.service import ServiceClient
from faultline.errors import Unavailable

_PATIENCE_S = 60.0
_RETRY_S = 1.0
# Three heartbeats.
_LIVE_TIMEOUT = httpx.Timeout(30.0, read=45.0)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger beside the champion, on the live readings that both have scored.

    Attributes
    ----------
    agreement
        Part of the readings that both or neither call a failure.
    """

    champion_version: str
    challenger_version: str
    readings: int
    agreement: float
    champion_failure_rate: float
    challenger_failure_rate: float
    champion_alarms_per_1000: float
    challenger_alarms_per_1000: float


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

    def comparison(self, machine_type: str, challenger: str) -> Comparison | None:
        """How a challenger does beside the champion; None until a reading has been compared."""
        params = {"machine_type": machine_type}
        found = self._ask("GET", "/api/v1/model/comparison", _Comparisons, params=params)
        pairs = [one.current for one in found.comparisons if one.current is not None]
        pair = next((one for one in pairs if one.challenger_version == challenger), None)
        if pair is None or pair.readings == 0 or pair.agreement is None:
            return None
        return Comparison(
            champion_version=pair.champion_version,
            challenger_version=pair.challenger_version,
            readings=pair.readings,
            agreement=pair.agreement,
            champion_failure_rate=pair.champion.failure_rate or 0.0,
            challenger_failure_rate=pair.challenger.failure_rate or 0.0,
            champion_alarms_per_1000=pair.champion.alarms_per_1000_readings or 0.0,
            challenger_alarms_per_1000=pair.challenger.alarms_per_1000_readings or 0.0,
        )

    def follow(
        self,
        *,
        events: Sequence[str] = (),
        machines: Sequence[str] = (),
        machine_type: str | None = None,
        status: str | None = None,
        last_event_id: str | None = None,
        patience_s: float = _PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[LiveEvent]:
        """Verdicts, alarms, drift and what happens to models, as they come, without end.

        A connection that is lost is made again, and nothing is missed or doubled by that; an event
        of the kind ``gap`` says so where it could not be helped.

        Parameters
        ----------
        events
            Kinds; none given means all.
        machines, machine_type
            Only these; none given means all. Events about models and drift are of no machine.
        status
            Only verdicts of it.
        last_event_id
            Begin after this event; None is now.
        patience_s
            Raise `Unavailable` when there has been no connection for so long.
        sleep
            Waits between two attempts.
        """
        given = {"events": events, "machine_id": machines}
        params: dict[str, Sequence[str] | str] = {k: v for k, v in given.items() if v}
        if machine_type is not None:
            params["machine_type"] = machine_type
        if status is not None:
            params["status"] = status
        lost_s: float | None = None
        while True:
            try:
                for event in self._connected(params, last_event_id):
                    last_event_id = event.id
                    lost_s = None
                    yield event
            except Unavailable:
                now_s = time.monotonic()
                lost_s = now_s if lost_s is None else lost_s
                if now_s - lost_s >= patience_s:
                    raise
            sleep(_RETRY_S)

    def _connected(
        self, params: dict[str, Sequence[str] | str], last_event_id: str | None
    ) -> Iterator[LiveEvent]:
        """Events of one connection; raises `Unavailable` when it ends."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        try:
            with self._client.stream(
                "GET", "/api/v1/stream", params=params, headers=headers, timeout=_LIVE_TIMEOUT
            ) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                yield from parse(response.iter_bytes())
        except httpx.TransportError as error:
            raise self._silence(error) from error
        raise Unavailable(f"the {self._name} at {self._url} has ended the stream")


class _LiveModel(msgspec.Struct, frozen=True):
    machine_type: str
    version: str | None = None


class _Models(msgspec.Struct, frozen=True):
    models: list[_LiveModel]


class _Side(msgspec.Struct, frozen=True):
    failure_rate: float | None
    alarms_per_1000_readings: float | None


class _Pair(msgspec.Struct, frozen=True):
    champion_version: str
    challenger_version: str
    readings: int
    agreement: float | None
    champion: _Side
    challenger: _Side


class _Type(msgspec.Struct, frozen=True):
    current: _Pair | None


class _Comparisons(msgspec.Struct, frozen=True):
    comparisons: list[_Type]
