"""What asking any of the services has in common: requests, answers, and refusals as errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import httpx
import msgspec

from faultline.errors import Conflict, FaultlineError, NotFound, Unavailable

_Answer = TypeVar("_Answer")

_TIMEOUT_S = 30.0
_ERRORS: Mapping[int, type[FaultlineError]] = {
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class ServiceClient:
    """One service: requests to it, and its refusals as errors; a context manager."""

    _name: ClassVar[str]

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(base_url=self._url, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[_Answer],
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> _Answer:
        """Return what the answer's body says; raise what its status stands for."""
        try:
            response = self._client.request(
                method, path, json=body, params=params, timeout=timeout_s
            )
        except httpx.TransportError as error:
            raise self._silence(error) from error
        if response.is_success:
            try:
                return msgspec.json.decode(response.content, type=kind)
            except msgspec.DecodeError as error:
                raise FaultlineError(
                    f"what answers at {self._url} is no {self._name} of this version ({error}); "
                    f"name the right one with --{self._name}"
                ) from error
        raise self._refusal(response)

    def _silence(self, error: httpx.TransportError) -> Unavailable:
        """What a broken connection stands for."""
        why = str(error) or type(error).__name__
        return Unavailable(
            f"the {self._name} at {self._url} does not answer ({why}); "
            f"see whether it runs (faultline status), or name another with --{self._name}"
        )

    def _refusal(self, response: httpx.Response) -> FaultlineError:
        """What an answer that is none stands for; its body has been read."""
        kind = _ERRORS.get(response.status_code, FaultlineError)
        return kind(f"the {self._name} refuses ({response.status_code}): {_explanation(response)}")


def _explanation(response: httpx.Response) -> str:
    """The problem's detail in one line, or what there is instead."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return " ".join(response.text.split())[:300] or response.reason_phrase
    told = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    return " ".join(told.split())
