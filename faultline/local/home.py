"""The folder that holds one stack: where its files are, and the addresses of the one that runs.

Other commands find a running stack here. Starts nothing and imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from faultline.errors import Conflict, NotFound

HOME_VARIABLE = "FAULTLINE_HOME"
DEFAULT_HOME = Path(".faultline")

# sun_path holds 107 bytes, and supervisord first binds to the path with ".<pid>" appended.
_LONGEST_SOCKET_PATH = 107 - len(".4194304")


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts of a stack answer.

    Attributes
    ----------
    kafka
        `HOST:PORT`, or several with commas.
    database_url
        SQLAlchemy URL of the faultline database, with its password.
    mlflow, predictor, gateway, trainer, recorder
        Base URLs without a slash at the end. In a stack of some components only, the others'
        are the addresses that they would have.
    """

    kafka: str
    database_url: str
    mlflow: str
    predictor: str
    gateway: str
    trainer: str
    recorder: str


# What wins over a running stack where it is set.
ENDPOINT_VARIABLES: Mapping[str, str] = {
    "kafka": "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS",
    "database_url": "FAULTLINE_DATABASE_URL",
    "mlflow": "MLFLOW_TRACKING_URI",
    "predictor": "FAULTLINE_PREDICTOR_URL",
    "gateway": "FAULTLINE_GATEWAY_URL",
    "trainer": "FAULTLINE_TRAINER_URL",
    "recorder": "FAULTLINE_RECORDER_URL",
}


class External(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Existing servers to use instead of embedded ones. None means embedded.

    Attributes
    ----------
    kafka
        `HOST:PORT`, or several with commas.
    postgres
        URL of the faultline database.
    mlflow
        URL of a tracking server.
    """

    kafka: str | None = None
    postgres: str | None = None
    mlflow: str | None = None


class StackFile(msgspec.Struct, frozen=True, kw_only=True):
    """What `stack.json` keeps of a running stack: enough to find, question and stop it.

    Attributes
    ----------
    supervisor_pid
        Process id of the supervisor; 0 while it is about to be started.
    started_ms
        Milliseconds since the epoch.
    """

    supervisor_pid: int
    started_ms: int
    ports: dict[str, int]
    components: list[str]
    external: External
    endpoints: Endpoints


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of the folder. Build it with `Home.at`."""

    path: Path

    @classmethod
    def at(cls, path: Path | None = None, environ: Mapping[str, str] | None = None) -> Home:
        """Find the home: the given path, else `FAULTLINE_HOME`, else `.faultline` here.

        Raises
        ------
        Conflict
            When the path holds characters that the programs' configuration cannot carry.
        """
        environ = os.environ if environ is None else environ
        chosen = path or Path(environ.get(HOME_VARIABLE) or DEFAULT_HOME)
        absolute = chosen.expanduser().resolve()
        if not str(absolute).isprintable() or " ;" in str(absolute) or " #" in str(absolute):
            raise Conflict(
                f"home {str(absolute)!r} has a character that a configuration file cannot hold "
                "(a control character, ' ;' or ' #'); choose another with --home"
            )
        return cls(absolute)

    @property
    def data(self) -> Path:
        """What must survive: topics, tables, artifacts."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        """One file per component."""
        return self.path / "logs"

    def log_file(self, component: str) -> Path:
        """Return where a component's output goes."""
        return self.logs / f"{component}.log"

    @property
    def config(self) -> Path:
        """Configuration written at every start, and the database password."""
        return self.path / "config"

    @property
    def state(self) -> Path:
        """The services' own state (the predictor's last good bundle)."""
        return self.path / "state"

    @property
    def run(self) -> Path:
        """What only means something while the stack runs."""
        return self.path / "run"

    @property
    def stack_file(self) -> Path:
        """Exists while a stack runs, and after one that was killed."""
        return self.path / "stack.json"

    @property
    def socket(self) -> Path:
        """The supervisor's socket; outside the home when the path would be too long."""
        inside = self.run / "supervisor.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"faultline-{os.getuid()}-{digest}" / "s.sock"

    def create(self) -> None:
        """Make the folders.

        Raises
        ------
        Conflict
            When the place is not writable, or the socket's folder is someone else's.
        """
        try:
            for folder in (self.data, self.logs, self.config, self.state, self.run):
                folder.mkdir(parents=True, exist_ok=True)
            if self.socket.parent != self.run:
                self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Conflict(
                f"home {self.path} cannot be used: {error.strerror} ({error.filename}); "
                "choose another with --home"
            ) from error
        if self.socket.parent.stat().st_uid != os.getuid():
            raise Conflict(
                f"{self.socket.parent} belongs to another user; choose a shorter --home, so that "
                "the supervisor's socket fits inside it"
            )

    def write_stack(self, stack: StackFile) -> None:
        """Keep the facts of a running stack, readable by its owner alone (it has a password)."""
        write_private(self.stack_file, msgspec.json.format(msgspec.json.encode(stack)))

    def read_stack(self) -> StackFile | None:
        """Read the facts of the stack that runs or was killed here; None when there is none.

        Raises
        ------
        Conflict
            When the file is there but cannot be read.
        """
        try:
            content = self.stack_file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(content, type=StackFile)
        except msgspec.DecodeError as error:
            raise Conflict(
                f"{self.stack_file} is not one of this version's: {error}. Stop that stack with "
                "the version that started it, or delete the file if nothing of it runs"
            ) from error

    def forget_stack(self) -> None:
        """Remove what only a running stack needs."""
        self.stack_file.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.run:
            with suppress(OSError):
                self.socket.parent.rmdir()


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once by one that only its owner can read."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def load_endpoints(
    home: Path | None = None,
    *,
    needs: Collection[str] = tuple(ENDPOINT_VARIABLES),
    environ: Mapping[str, str] | None = None,
) -> Endpoints:
    """Addresses of the running stack; environment variables win over it where set.

    Parameters
    ----------
    home
        The stack's folder; None for `FAULTLINE_HOME` or `.faultline` in the current one.
    needs
        The fields of `Endpoints` that the caller will use: where the environment gives all of
        them, no stack need run here, and the others are empty.
    environ
        The environment; `os.environ` when None.

    Raises
    ------
    NotFound
        When no stack runs there and the environment does not give what is needed.
    """
    environ = os.environ if environ is None else environ
    given = {
        field: environ[variable].rstrip("/")
        for field, variable in ENDPOINT_VARIABLES.items()
        if environ.get(variable)
    }
    place = Home.at(home, environ)
    stack = place.read_stack()
    if stack is not None and _exists(stack.supervisor_pid):
        return msgspec.structs.replace(stack.endpoints, **given)
    unset = [ENDPOINT_VARIABLES[field] for field in needs if field not in given]
    if unset:
        raise NotFound(
            f"no stack runs in {place.path}. Start one with `faultline up`, name another with "
            f"--home or {HOME_VARIABLE}, or set {', '.join(unset)}"
        )
    return Endpoints(**{field: given.get(field, "") for field in ENDPOINT_VARIABLES})


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
