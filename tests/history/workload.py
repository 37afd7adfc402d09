"""Clients that send what a plan says, over HTTP and to the topic, until they are told to stop."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

import httpx

from faultline import topics
from faultline.errors import FaultlineError
from faultline.ports.broker import Producer
from tests.history.operations import History, Operation, Outcome, Way
from tests.history.plan import Plan, valid

_ANSWER_S = 20.0
# Longer than a producer tries: what it does not say by then it never will.
_GIVEN_UP_S = 120.0
# Leaves a small machine to what is being tested.
_PAUSE_S = 0.02
_GIVE_UP = 0.1
"""How often a client does not try again what it does not know of."""


class Clients:
    """Some machines' clients; each does one thing after another, in a thread with others.

    Parameters
    ----------
    gateway
        Its URL.
    """

    def __init__(
        self, history: History, gateway: str, producer: Producer, plans: Sequence[Plan]
    ) -> None:
        self.history = history
        self._gateway = gateway
        self._producer = producer
        self._plans = plans
        self._stop = threading.Event()
        self._errors: list[BaseException] = []

    @contextmanager
    def running(self, threads: int) -> Iterator[None]:
        """Send in the block; whatever stopped a thread is raised at its end."""
        started = [
            threading.Thread(target=self._run, args=(self._plans[number::threads],))
            for number in range(threads)
        ]
        for thread in started:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in started:
                thread.join()
        self.raise_errors()

    def raise_errors(self) -> None:
        """Raise what has stopped a thread."""
        if self._errors:
            raise self._errors[0]

    def finish(self) -> None:
        """Have one more reading of each machine acknowledged."""
        with self._http() as http:
            for plan in self._plans:
                self._insist(http, plan.last(), give_up=0.0)

    def _run(self, plans: Sequence[Plan]) -> None:
        try:
            with self._http() as http:
                while not self._stop.is_set():
                    for plan in plans:
                        self._insist(http, plan.next(), give_up=_GIVE_UP)
                        self._stop.wait(_PAUSE_S)
        except BaseException as error:
            # Raised where the run waits for its clients.
            self._errors.append(error)

    def _insist(self, http: httpx.Client, operation: Operation, give_up: float) -> None:
        # Whether it gives up is drawn from what is sent: by the seed, whatever else happens.
        draw = random.Random(operation.value)
        while True:
            outcome = self.history.record(operation, lambda one: self._attempt(http, one))
            if outcome is not Outcome.UNKNOWN or draw.random() < give_up:
                return
            self._stop.wait(_PAUSE_S)

    def _attempt(self, http: httpx.Client, operation: Operation) -> Outcome:
        return self._post(http, operation) if operation.way is Way.HTTP else self._send(operation)

    def _send(self, operation: Operation) -> Outcome:
        key = operation.machine_id.encode()
        try:
            delivery = self._producer.send(topics.READINGS.name, key, operation.value)
            delivery.wait(_GIVEN_UP_S)
        except FaultlineError as error:
            if not error.retriable:
                raise
            return Outcome.UNKNOWN
        return Outcome.ACKNOWLEDGED

    def _post(self, http: httpx.Client, operation: Operation) -> Outcome:
        try:
            answer = http.post("/api/v1/readings", content=operation.value)
        except httpx.TransportError:
            return Outcome.UNKNOWN
        return outcome_of(answer, operation.value)

    def _http(self) -> httpx.Client:
        headers = {"Content-Type": "application/json"}
        return httpx.Client(
            base_url=self._gateway, trust_env=False, timeout=_ANSWER_S, headers=headers
        )


def outcome_of(answer: httpx.Response, value: bytes) -> Outcome:
    """What the gateway's answer means; anything that it must not say fails the run."""
    match answer.status_code:
        case HTTPStatus.ACCEPTED | HTTPStatus.MULTI_STATUS:
            assert len(valid(value)) == answer.json()["accepted"], answer.text
            return Outcome.ACKNOWLEDGED
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            return Outcome.UNKNOWN
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            return Outcome.REFUSED
        case _:
            raise AssertionError(f"{answer.status_code}: {answer.text}")
