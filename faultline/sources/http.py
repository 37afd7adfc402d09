"""The sink that posts to the gateway over HTTP. It knows the gateway's contract, not its code."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import httpx
import tenacity

from faultline.errors import FaultlineError, InvalidReading, Unavailable
from faultline.readings import Reading, chunked, encode_batch

READINGS_PER_REQUEST = 500
_GZIP_ABOVE_BYTES = 8_192
_LONGEST_WAIT_S = 10.0
# What passes by itself: a slow network, too many requests, a gateway (or the proxy before it)
# without its broker.
_TEMPORARY = frozenset({408, 429, 502, 503, 504})
# 207: a part was taken, and this request asked for all or nothing.
_READING_AT_FAULT = frozenset({207, 400, 413, 415, 422})


class _Temporary(Unavailable):
    """An answer after which the same request is worth sending again."""

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class HttpSink:
    """Posts readings to ``{url}/api/v1/readings``; what it has sent the broker has acknowledged.

    Sending again after a lost answer is safe: a reading's identity is its machine and timestamp.

    Parameters
    ----------
    url
        The gateway, such as ``http://127.0.0.1:8001``.
    client
        Its pool of connections; closed with the sink.
    give_up_after_s
        How long a request is repeated while the gateway is unreachable or says 408, 429, 502, 503
        or 504.
    sleep
        Waits between two attempts, in seconds.
    """

    def __init__(
        self,
        url: str,
        client: httpx.Client | None = None,
        *,
        give_up_after_s: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint = f"{url.rstrip('/')}/api/v1/readings"
        self._client = client if client is not None else httpx.Client(timeout=30.0)
        self._give_up_after_s = give_up_after_s
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Temporary),
            wait=_wait,
            stop=_stop_after_waiting(give_up_after_s),
            sleep=sleep,
            reraise=True,
        )

    def __enter__(self) -> HttpSink:
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

    def send(self, readings: Sequence[Reading]) -> None:
        """Post readings, at most 500 in a request; returns when all are accepted.

        Raises
        ------
        InvalidReading
            When the gateway refuses one: none of its request is accepted, those before are.
        Unavailable
            When the gateway cannot be reached, or says so, for too long.
        """
        for batch in chunked(readings, READINGS_PER_REQUEST):
            body = encode_batch(batch)
            headers = {"content-type": "application/json"}
            if len(body) > _GZIP_ABOVE_BYTES:
                body = gzip.compress(body, compresslevel=1)
                headers["content-encoding"] = "gzip"
            try:
                self._retrying(self._post, body, headers, len(batch))
            except _Temporary as error:
                raise Unavailable(
                    f"{error}; gave up after waiting {self._give_up_after_s:g} s. "
                    "See whether the gateway runs (faultline status)"
                ) from error

    def flush(self) -> None:
        """Do nothing: `send` returns only once everything is accepted."""

    def _post(self, body: bytes, headers: dict[str, str], readings: int) -> None:
        try:
            response = self._client.post(
                self._endpoint, params={"atomic": "true"}, content=body, headers=headers
            )
        except httpx.TransportError as error:
            raise _Temporary(
                f"POST {self._endpoint}: {str(error) or type(error).__name__}"
            ) from error
        if response.is_success and response.status_code not in _READING_AT_FAULT:
            return
        told = (
            f"{self._endpoint} answered {response.status_code} to {readings} readings: "
            f"{_detail(response)}"
        )
        if response.status_code in _TEMPORARY:
            raise _Temporary(told, _retry_after_s(response))
        if response.status_code in _READING_AT_FAULT:
            raise InvalidReading(told)
        raise FaultlineError(told)


def _detail(response: httpx.Response) -> str:
    """What the gateway says went wrong: problem+json's `detail`, or the text as it is."""
    try:
        problem = response.json()
    except ValueError:
        return response.text[:500] or response.reason_phrase
    if not isinstance(problem, dict):
        return response.text[:500]
    told = str(problem.get("detail") or problem.get("title") or response.text[:500])
    errors = problem.get("errors")
    # The first says which reading and why; the others are often the same again.
    return f"{told} The first: {errors[0]}" if isinstance(errors, list) and errors else told


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None


_backoff = tenacity.wait_exponential(multiplier=0.2, max=_LONGEST_WAIT_S) + tenacity.wait_random(
    0, 0.2
)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after_s if isinstance(error, _Temporary) else None
    if asked is not None:
        return min(asked, _LONGEST_WAIT_S)
    return _backoff(state)


def _stop_after_waiting(limit_s: float) -> Callable[[tenacity.RetryCallState], bool]:
    """Stop once the waits add up to the limit; unlike wall time, a test can count those."""
    return lambda state: state.idle_for + state.upcoming_sleep > limit_s
