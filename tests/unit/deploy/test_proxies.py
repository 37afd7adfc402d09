"""The proxies in front of the predictor, and the stream of events, which has no end of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_DEPLOY = Path(__file__).parents[3] / "deploy"
_HEARTBEAT_S = 15


@pytest.fixture(params=["nginx/predictor.conf", "tls/nginx.conf"])
def configuration(request: pytest.FixtureRequest) -> str:
    return (_DEPLOY / request.param).read_text()


def test_a_silent_stream_is_cut_off_soon_after_its_heartbeats_ended(configuration: str) -> None:
    [location] = re.findall(r"location = /api/v1/stream \{([^}]*)\}", configuration)
    [timeout_s] = re.findall(r"proxy_read_timeout (\d+)s;", location)
    assert 2 * _HEARTBEAT_S < int(timeout_s) <= 4 * _HEARTBEAT_S


def test_open_streams_do_not_hold_up_a_reload_or_a_stop(configuration: str) -> None:
    assert re.findall(r"^worker_shutdown_timeout (\d+)s;", configuration, re.MULTILINE) == ["5"]
