from __future__ import annotations

import httpx
import pytest


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("http://trainer:8002", "http://trainer:8002"),
        ("https://mlflow.example", "https://mlflow.example"),
        ('{"conn_type": "http", "host": "https://mlflow.example/"}', "https://mlflow.example"),
        (
            '{"conn_type": "http", "host": "mlflow", "schema": "https", "port": 443}',
            "https://mlflow:443",
        ),
        ('{"conn_type": "http", "host": "http://mlflow:5000"}', "http://mlflow:5000"),
    ],
)
def test_a_connection_leads_to_its_address(
    airflow_database: None, monkeypatch: pytest.MonkeyPatch, uri: str, url: str
) -> None:
    from airflow.sdk import BaseHook

    from model_lifecycle.services import base_url

    monkeypatch.setenv("AIRFLOW_CONN_SOMEWHERE", uri)
    assert base_url(BaseHook.get_connection("somewhere")) == url


@pytest.mark.parametrize(
    ("status", "tried_again"), [(503, True), (429, True), (409, True), (404, False), (422, False)]
)
def test_only_what_may_be_answered_otherwise_is_asked_again(status: int, tried_again: bool) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from model_lifecycle.services import ask

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"detail": "because"})

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://trainer")
    with pytest.raises(AirflowException, match="because") as raised:
        ask(client, "GET", "/x")
    assert isinstance(raised.value, AirflowFailException) is not tried_again
