"""Profile `tls`: who comes in, and what passes through it as it does without."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from faultline.local.ports import is_free
from faultline.readings import encode_batch

if TYPE_CHECKING:
    from tests.compose.conftest import Containers, Fleet, Until

pytestmark = pytest.mark.compose

ROOT = Path(__file__).parents[2]
PORTS = ("TLS_PREDICTOR_PORT", "TLS_INGEST_PORT", "TLS_TRAINER_PORT", "TLS_MLFLOW_PORT")
_OTHER_KEY = "a-key-of-another-program-0123456789"


class Front:
    """The addresses with TLS, and the certificate that they show."""

    def __init__(self, containers: Containers, certificate: Path) -> None:
        self.containers = containers
        self.certificate = certificate

    def url(self, port: str) -> str:
        return f"https://localhost:{self.containers.variables[port]}"

    def client(self, port: str, **headers: str) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.certificate))
        return httpx.Client(base_url=self.url(port), verify=context, headers=headers, timeout=60)

    def with_key(self, port: str) -> httpx.Client:
        return self.client(port, **{"X-API-Key": self.containers.variables["TLS_API_KEY"]})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make certs` leaves it, and one more key."""
    folder = tmp_path_factory.mktemp("tls")
    _sign(folder)
    (folder / "api-keys").write_text(f"# Another program.\n{_OTHER_KEY}\n")
    return folder


def _sign(folder: Path, *names: str) -> None:
    script = ROOT / "deploy/tls/self-signed.sh"
    subprocess.run(["sh", script, folder, *names], check=True, capture_output=True)


@pytest.fixture(scope="module")
def front(containers: Containers, files: Path) -> Iterator[Front]:
    free = (port for port in range(32_100, 32_700) if is_free(port))
    ports = {name: str(port) for name, port in zip(PORTS, free, strict=False)}
    with containers.with_variables(
        TLS_FOLDER=str(files), TLS_BIND_ADDRESS="127.0.0.1", **ports
    ) as changed:
        try:
            changed.run("--profile", "tls", "up", "--detach", "--wait", "tls")
            yield Front(changed, files / "tls.crt")
        finally:
            changed.run("--profile", "tls", "rm", "--stop", "--force", "tls")


@pytest.mark.parametrize("port", PORTS)
def test_without_a_key_only_the_health_is_told(front: Front, port: str) -> None:
    health = "/health" if port == "TLS_MLFLOW_PORT" else "/health/ready"
    with front.client(port) as anybody:
        assert anybody.get(health).status_code == 200
        for path in ("/", "/metrics", "/docs", "/api/v1/machines", "/health/../metrics"):
            refused = anybody.get(path)
            assert refused.status_code == 401, path
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["status"] == 401


@pytest.mark.parametrize("port", PORTS)
def test_who_comes_without_tls_is_sent_to_it(front: Front, port: str) -> None:
    plain = front.url(port).replace("https:", "http:")
    answer = httpx.get(f"{plain}/metrics?x=1")
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"{front.url(port)}/metrics?x=1"


def test_only_tls_of_today_is_spoken(front: Front) -> None:
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    # That this one is old is the point.
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    address = ("127.0.0.1", int(front.containers.variables["TLS_INGEST_PORT"]))
    with socket.create_connection(address, 30) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)


def test_users_and_keys_come_in_by_any_of_the_usual_ways(front: Front) -> None:
    variables = front.containers.variables
    key, password = variables["TLS_API_KEY"], variables["TLS_PASSWORD"]
    with front.client("TLS_PREDICTOR_PORT") as client:

        def status(auth: tuple[str, str] | None = None, **headers: str) -> int:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.get("/api/v1/machines", auth=auth, headers=given).status_code

        assert status(X_API_Key=key) == status(X_API_Key=_OTHER_KEY) == 200
        assert status(Authorization=f"Bearer {key}") == 200
        assert status(auth=("faultline", password)) == 200
        assert status(auth=("faultline", "wrong")) == status(auth=("other", password)) == 401
        assert status(X_API_Key="wrong") == status(Authorization="Bearer wrong") == 401
        assert status(X_API_Key=key.upper()) == status(X_API_Key=f"{key}0") == 401
        assert status(X_API_Key="# Another program.") == 401


def test_answers_tell_browsers_to_be_careful(front: Front) -> None:
    for port in PORTS:
        with front.with_key(port) as client:
            headers = client.get("/").headers
        assert headers["Strict-Transport-Security"].startswith("max-age=")
        assert headers.get_list("X-Content-Type-Options") == ["nosniff"]
        assert headers.get_list("X-Frame-Options") == ["SAMEORIGIN"]


def test_readings_by_the_megabyte_come_in_and_predictions_come_out(
    front: Front, fleet: Fleet
) -> None:
    end_ms = fleet.now_ms + 5_000 * fleet.plant.interval_ms
    body = encode_batch(list(fleet.plant.readings(fleet.now_ms, end_ms)))
    assert 4_000_000 < len(body) < 8_000_000
    with front.with_key("TLS_INGEST_PORT") as ingest:
        sent = ingest.post("/api/v1/readings", content=body)
        assert (sent.status_code, sent.json()["machines"]) == (202, fleet.plant.machines)
        too_large = ingest.post("/api/v1/readings", content=b" " * (8 * 1024 * 1024 + 1))
        assert too_large.status_code == 413
        assert "detail" in too_large.json()
    fleet.sent_rows += 5_000
    fleet.wait()
    with front.with_key("TLS_PREDICTOR_PORT") as predictor:
        reading = msgspec.json.decode(body)[0]
        answer = predictor.post("/api/v1/predict", json=reading)
        assert answer.status_code == 200, answer.text
    with front.with_key("TLS_TRAINER_PORT") as trainer:
        assert trainer.get("/api/v1/ml/models").status_code == 200


def test_mlflow_takes_a_browsers_requests_and_large_files(front: Front) -> None:
    body = b"\x00\xff" * (6 * 1024 * 1024)
    path = "/api/2.0/mlflow-artifacts/artifacts/try/large.bin"
    search = "/api/2.0/mlflow/experiments/search"
    with front.with_key("TLS_MLFLOW_PORT") as mlflow:
        assert mlflow.put(path, content=body).status_code == 200
        assert mlflow.get(path).content == body
        assert mlflow.delete(path).is_success
        own = {"Origin": front.url("TLS_MLFLOW_PORT")}
        assert mlflow.post(search, json={"max_results": 1}, headers=own).status_code == 200
        foreign = {"Origin": "https://elsewhere.example"}
        assert mlflow.post(search, json={"max_results": 1}, headers=foreign).status_code == 403


def test_events_pass_as_they_come(front: Front, fleet: Fleet) -> None:
    plain = httpx.Client(base_url=front.containers.url("PREDICTOR_PORT"), timeout=60)
    with front.with_key("TLS_PREDICTOR_PORT") as secure, plain:
        for client in (secure, plain):
            asked = {"events": "verdict", "machine_type": fleet.machine_type}
            with client.stream("GET", "/api/v1/stream", params=asked) as events:
                assert events.headers["Content-Type"].startswith("text/event-stream")
                assert events.headers["Cache-Control"] == "no-store"
                lines = (line for line in events.iter_lines() if line)
                # It has joined: what is said from here on comes.
                next(line for line in lines if line.startswith("id: "))
                fleet.send(1)
                data = next(line for line in lines if line.startswith("data: "))
                assert msgspec.json.decode(data.removeprefix("data: "))["verdicts"]


def test_a_renewed_certificate_is_taken_up_while_it_runs(front: Front, until: Until) -> None:
    folder = front.certificate.parent
    for name in ("tls.crt", "tls.key"):
        (folder / name).unlink()
    _sign(folder, "renewed.example")
    front.containers.run("--profile", "tls", "kill", "--signal", "HUP", "tls")
    address = ("127.0.0.1", int(front.containers.variables["TLS_INGEST_PORT"]))
    until(
        lambda: (
            ssl.get_server_certificate(address).split() == (folder / "tls.crt").read_text().split()
        ),
        "the renewed certificate",
    )
    with front.with_key("TLS_INGEST_PORT") as client:
        assert client.get("/metrics").status_code == 200


def test_a_pair_that_is_there_is_not_overwritten(files: Path) -> None:
    before = (files / "tls.key").read_bytes()
    with pytest.raises(subprocess.CalledProcessError):
        _sign(files)
    assert (files / "tls.key").read_bytes() == before


def test_without_a_certificate_it_says_how_to_make_one(front: Front, tmp_path: Path) -> None:
    with front.containers.with_variables(TLS_FOLDER=str(tmp_path)) as changed:
        run = [*changed.project.compose_command_property, "--profile", "tls", "run", "--rm"]
        done = subprocess.run(
            [*run, "--no-deps", "-T", "tls"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "make certs" in done.stderr
