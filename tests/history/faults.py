"""What goes wrong in a run, each until something shows that it has had its effect, then mended.

In the words of Jepsen, the nemesis. Nothing here waits for a time to pass: a fault lasts until so
many more readings are acknowledged, or until a client or a service has noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.history.operations import Way
from tests.history.processes import frozen, until
from tests.history.proxy import Matches, Proxy, commits_offsets, produces, says
from tests.history.scene import Scene

Fault = Callable[[Scene], None]

_SOME = 200
"""Readings that are acknowledged in the middle of a fault."""


def _killed(name: str) -> Fault:
    def fault(scene: Scene) -> None:
        scene.services[name].kill()
        scene.services[name].restart()

    return fault


def _killed_at(
    name: str,
    proxies: Callable[[Scene], Mapping[str, Proxy]],
    at: Matches,
    *,
    delivers: bool = False,
) -> Fault:
    """Killed when a request has been sent, and was lost on its way or its answer was."""

    def fault(scene: Scene) -> None:
        service = scene.services[name]
        with proxies(scene)[name].catching(at, delivers=delivers) as trap:
            until(trap.sprung.is_set, f"the {name}'s request")
            service.kill()
        service.restart()

    return fault


def _cut_off(name: str, proxies: Callable[[Scene], Mapping[str, Proxy]]) -> Fault:
    """The connections end at a request, whose answer is lost; new ones are refused for a while."""

    def fault(scene: Scene) -> None:
        with proxies(scene)[name].catching(lambda _: True, delivers=True) as trap:
            until(trap.sprung.is_set, f"a request of the {name}")
            _felt(scene, name)
        scene.services[name].wait()

    return fault


def _stalled(name: str, proxies: Callable[[Scene], Mapping[str, Proxy]]) -> Fault:
    def fault(scene: Scene) -> None:
        with proxies(scene)[name].stalled():
            _felt(scene, name)
        scene.services[name].wait()

    return fault


def _felt(scene: Scene, name: str) -> None:
    if name == "gateway":
        scene.be_noticed()
    else:
        scene.go_on(_SOME)


def _frozen_service(name: str) -> Fault:
    """Frozen so long that the group throws it out and another takes over; then it wakes up."""

    def fault(scene: Scene) -> None:
        other = scene.start_another(name)
        with frozen(scene.services[name].pid):
            wanted = scene.arrived()
            until(lambda: scene.is_worked_off(name, wanted), f"another {name} that has taken over")
        scene.go_on(_SOME)
        scene.services[name].wait()
        other.stop()

    return fault


def _another(name: str) -> Fault:
    """A second one comes and goes: twice the partitions change hands."""

    def fault(scene: Scene) -> None:
        other = scene.start_another(name)
        scene.go_on(_SOME)
        other.stop()
        scene.services[name].wait()

    return fault


def _frozen(component: str, noticed: Callable[[Scene], None]) -> Fault:
    def fault(scene: Scene) -> None:
        with scene.platform.frozen(component):
            noticed(scene)

    return fault


def _restarted(component: str) -> Fault:
    return lambda scene: scene.platform.stack.restart(component)


def _broken_off(component: str) -> Fault:
    return lambda scene: scene.platform.kill(component)


def _promotion(scene: Scene) -> None:
    scene.versions.promote(scene.trainer)
    until(scene.judges_by_the_live_version, "the new version")


def _promotion_cut_off(scene: Scene) -> None:
    with scene.versions.promoting(scene.trainer):
        scene.services["trainer"].kill()
        scene.services["trainer"].restart()
    until(scene.judges_by_the_live_version, "the new version")


def _disk_full(scene: Scene) -> None:
    recorder = scene.services["recorder"]
    with scene.platform.full_disk():
        until(lambda: not recorder.is_ready(), "a recorder that cannot store")
    recorder.wait()


def _kafka(scene: Scene) -> Mapping[str, Proxy]:
    return scene.platform.to_kafka


def _postgres(scene: Scene) -> Mapping[str, Proxy]:
    return scene.platform.to_postgres


_SNAPSHOT = produces("timestamps_ms")

FAULTS: Mapping[str, Mapping[str, Fault]] = {
    "recorder": {
        "recorder killed": _killed("recorder"),
        "recorder killed with rows on their way": _killed_at(
            "recorder", _postgres, says("COPY incoming_readings")
        ),
        "recorder killed before its commit": _killed_at(
            "recorder", _postgres, says("UPDATE stream_offsets")
        ),
        "recorder killed after its commit": _killed_at(
            "recorder", _postgres, says("COMMIT"), delivers=True
        ),
        "recorder killed between PostgreSQL's commit and Kafka's": _killed_at(
            "recorder", _kafka, commits_offsets
        ),
    },
    "predictor": {
        "predictor killed": _killed("predictor"),
        "predictor killed with verdicts published": _killed_at(
            "predictor", _kafka, produces('"verdicts"'), delivers=True
        ),
        "predictor killed before its snapshots": _killed_at("predictor", _kafka, _SNAPSHOT),
        "predictor killed between snapshots and commit": _killed_at(
            "predictor", _kafka, commits_offsets
        ),
    },
    "gateway": {
        "gateway killed": _killed("gateway"),
        "gateway killed with readings handed over": _killed_at(
            "gateway", _kafka, produces(), delivers=True
        ),
    },
    "broker": {
        "broker killed": _broken_off("kafka"),
        "broker restarted": _restarted("kafka"),
        "broker frozen": _frozen("kafka", Scene.be_noticed),
        "broker frozen until messages are given up": _frozen(
            "kafka", lambda scene: scene.be_noticed(Way.TOPIC)
        ),
    },
    "database": {
        "PostgreSQL killed": _broken_off("postgres"),
        "PostgreSQL restarted": _restarted("postgres"),
        "PostgreSQL frozen": _frozen("postgres", lambda scene: scene.go_on(_SOME)),
    },
    "network": {
        "gateway cut off from Kafka": _cut_off("gateway", _kafka),
        "recorder cut off from Kafka": _cut_off("recorder", _kafka),
        "predictor cut off from Kafka": _cut_off("predictor", _kafka),
        "recorder cut off from PostgreSQL": _cut_off("recorder", _postgres),
        "gateway's way to Kafka stalled": _stalled("gateway", _kafka),
        "recorder's way to Kafka stalled": _stalled("recorder", _kafka),
        "predictor's way to Kafka stalled": _stalled("predictor", _kafka),
        "recorder's way to PostgreSQL stalled": _stalled("recorder", _postgres),
    },
    "group": {
        "second recorder comes and goes": _another("recorder"),
        "second predictor comes and goes": _another("predictor"),
        "recorder frozen and replaced": _frozen_service("recorder"),
        "predictor frozen and replaced": _frozen_service("predictor"),
    },
    "model": {
        "promotion": _promotion,
        "trainer killed in a promotion": _promotion_cut_off,
    },
    "disk": {"disk full": _disk_full},
}
"""By what they are done to."""


def possible(scene: Scene) -> Mapping[str, Mapping[str, Fault]]:
    """Those that can be arranged on this machine."""
    without = set() if scene.platform.own_disk is not None else {"disk"}
    return {group: faults for group, faults in FAULTS.items() if group not in without}
