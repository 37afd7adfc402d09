"""Models and versions over HTTP."""

from typing import Any

import pytest

from faultline.ports.stores import RecordBatch
from faultline.readings import format_timestamp
from faultline.verdicts import Status, Verdict, VerdictBatch

BASE = "/api/v1/ml/models"
NAME = "faultline-pump"


def post(world: Any, path: str, body: Any = None) -> Any:
    return world.http.post(f"{BASE}{path}", json=body)


def get(world: Any, path: str, **params: Any) -> Any:
    return world.http.get(f"{BASE}{path}", params=params)


@pytest.mark.parametrize("field", ["reason", "requested_by"])
def test_a_promotion_that_cannot_be_logged_moves_nothing(world: Any, field: str) -> None:
    world.train(promotion="hold")
    answer = post(world, f"/{NAME}/versions/1/promote", {field: "a\0b"})
    assert answer.status_code == 422
    assert "must not contain NUL" in answer.json()["detail"]
    assert world.registry.production(NAME) is None


def test_a_parameter_that_nothing_reads_is_refused(world: Any) -> None:
    world.train()
    answer = get(world, f"/{NAME}/versions", verdict="true")
    assert answer.status_code == 422
    assert "query.verdict: there is no such parameter; did you mean 'verdicts'?" in answer.text


def test_models_are_listed_with_their_champion_and_challenger(world: Any) -> None:
    world.train()
    world.train(promotion="hold")
    assert get(world, "").json() == {
        "models": [
            {
                "model_name": NAME,
                "machine_type": "pump",
                "versions": 2,
                "latest": "2",
                "production": "1",
                "staging": "2",
            }
        ]
    }


def test_versions_are_listed_newest_first(world: Any) -> None:
    world.train()
    world.train()
    versions = get(world, f"/{NAME}/versions").json()["versions"]
    assert [(one["version"], one["stage"]) for one in versions] == [
        ("2", "Production"),
        ("1", "Archived"),
    ]
    assert versions[0]["aliases"] == ["production"]
    assert versions[0]["gate"] == "passed"
    assert versions[0]["k"] == 2
    assert versions[0]["silhouette"] == float(versions[0]["tags"]["silhouette"])


def test_tags_that_someone_edited_do_no_harm(world: Any) -> None:
    world.train()
    world.registry.set_tags(NAME, "1", {"silhouette": "quite good", "k": "inf"})
    production = get(world, f"/{NAME}/production").json()
    assert (production["silhouette"], production["k"]) == (None, None)


def test_the_version_in_production_is_shown(world: Any) -> None:
    world.train()
    assert get(world, f"/{NAME}/production").json()["version"] == "1"


def test_no_version_in_production_is_not_found(world: Any) -> None:
    world.train(promotion="hold")
    answer = get(world, f"/{NAME}/production")
    assert answer.status_code == 404
    assert "no version of faultline-pump is in Production" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["versions", "production", "history"])
def test_an_unknown_model_is_not_found(world: Any, path: str) -> None:
    assert get(world, f"/faultline-fan/{path}").status_code == 404


def test_a_held_version_can_be_promoted(world: Any) -> None:
    world.train()
    world.train(promotion="hold")
    answer = post(world, f"/{NAME}/versions/2/promote", {"reason": "compared"})
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": NAME,
        "version": "2",
        "stage": "Production",
        "previous_version": "1",
        "promotion_id": world.log.list(NAME)[0].promotion_id,
        "changed": True,
        "since": format_timestamp(world.log.list(NAME)[0].at_ms),
    }


def test_a_refused_version_is_a_conflict_that_says_why(make_world: Any) -> None:
    world = make_world(gate_min_silhouette=0.99)
    world.store_history()
    world.train()
    answer = post(world, f"/{NAME}/versions/1/promote", {"stage": "Production"})
    assert answer.status_code == 409
    assert "the gate has refused it: silhouette 0." in answer.json()["detail"]
    forced = {"stage": "Production", "force": True, "reason": "the only one there is"}
    assert post(world, f"/{NAME}/versions/1/promote", forced).status_code == 200
    assert get(world, f"/{NAME}/production").json()["version"] == "1"


def test_force_needs_a_reason(world: Any) -> None:
    world.train(promotion="hold")
    answer = post(world, f"/{NAME}/versions/1/promote", {"force": True, "reason": " "})
    assert answer.status_code == 422
    assert "force needs a reason" in answer.json()["detail"]


def test_a_promotion_at_the_same_time_as_another_is_a_conflict_that_says_why(world: Any) -> None:
    world.train()
    world.train(promotion="hold")
    with world.log.turn(NAME):
        answer = post(world, f"/{NAME}/versions/2/promote", {})
        back = post(world, f"/{NAME}/rollback", {"to": "2", "reason": "back"})
    for one in (answer, back):
        assert one.status_code == 409
    assert "another change of faultline-pump's Production" in answer.json()["detail"]
    assert get(world, f"/{NAME}/production").json()["version"] == "1"


def test_a_rollback_leads_to_the_version_before(world: Any) -> None:
    world.train()
    world.train()
    answer = post(world, f"/{NAME}/rollback", {"reason": "cries wolf", "requested_by": "eve"})
    assert answer.status_code == 200
    row = world.log.list(NAME)[0]
    assert answer.json() == {
        "model_name": NAME,
        "version": "1",
        "stage": "Production",
        "previous_version": "2",
        "promotion_id": row.promotion_id,
        "changed": True,
        "since": format_timestamp(row.at_ms),
    }
    told = get(world, f"/{NAME}/history").json()["promotions"][0]
    assert told["at"].endswith("Z")
    assert {name: told[name] for name in ("version", "kind", "actor", "reason", "gate")} == {
        "version": "1",
        "kind": "rollback",
        "actor": "eve",
        "reason": "cries wolf",
        "gate": "passed",
    }
    again = post(world, f"/{NAME}/rollback", {"reason": "further"})
    assert again.status_code == 409


@pytest.mark.parametrize(
    "body", [{}, {"reason": "  "}, {"reason": "a\0b"}, {"to": 1, "reason": "x"}, {"to": ""}]
)
def test_a_rollback_that_cannot_be_meant_is_refused(world: Any, body: Any) -> None:
    world.train()
    assert post(world, f"/{NAME}/rollback", body).status_code == 422


@pytest.mark.parametrize("stage", ["Archived", "None", "Staging"])
def test_a_version_can_be_moved_beside_production(world: Any, stage: str) -> None:
    world.train(promotion="hold")
    answer = post(world, f"/{NAME}/versions/1/promote", {"stage": stage})
    assert answer.json()["stage"] == stage


def test_an_unknown_stage_is_refused(world: Any) -> None:
    world.train()
    answer = post(world, f"/{NAME}/versions/1/promote", {"stage": "Live"})
    assert answer.status_code == 422


def test_an_unknown_version_is_not_found(world: Any) -> None:
    world.train()
    assert post(world, f"/{NAME}/versions/9/promote", {}).status_code == 404


def test_the_history_says_what_was_live_when(world: Any) -> None:
    world.train()
    between_ms = world.clock.now_ms()
    world.train()
    history = get(world, f"/{NAME}/history").json()
    assert [(one["version"], one["previous_version"]) for one in history["promotions"]] == [
        ("2", "1"),
        ("1", None),
    ]
    assert history["live"]["version"] == "2"
    assert get(world, f"/{NAME}/history", at=between_ms).json()["live"]["version"] == "1"
    assert get(world, f"/{NAME}/history", at="1999-01-01").json()["live"] is None


def test_the_history_knows_rollbacks_what_others_did_and_when_there_was_none(world: Any) -> None:
    world.train()
    world.train()
    moments = [world.clock.now_ms()]
    post(world, f"/{NAME}/rollback", {"reason": "cries wolf"})
    moments.append(world.clock.now_ms())
    world.registry.port._move_alias(NAME, "production", "2")
    world.trainer.reconciler.look()
    moments.append(world.clock.now_ms())
    world.registry.port._move_alias(NAME, "production", None)
    world.trainer.reconciler.look()
    moments.append(world.clock.now_ms())
    lives = [get(world, f"/{NAME}/history", at=one).json()["live"] for one in moments]
    assert [one and (one["version"], one["kind"]) for one in lives] == [
        ("2", "promotion"),
        ("1", "rollback"),
        ("2", "external"),
        None,
    ]
    history = get(world, f"/{NAME}/history").json()
    assert history["live"] is None
    assert [one["version"] for one in history["promotions"]] == [None, "2", "1", "2", "1"]


def test_the_verdicts_of_each_version_are_counted_when_asked_for(world: Any) -> None:
    world.train()
    world.train()
    verdicts = [Verdict(timestamp_ms=at, status=Status.NORMAL, score=0.5) for at in range(3)]
    made = VerdictBatch(
        machine_id="pump-1",
        machine_type="pump",
        model_name=NAME,
        model_version="1",
        verdicts=tuple(verdicts),
    )
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, verdicts=[made]), lambda _: None
    )
    counted = get(world, f"/{NAME}/versions", verdicts=True).json()["versions"]
    assert [(one["version"], one["verdicts"]) for one in counted] == [("2", 0), ("1", 3)]
    listed = get(world, f"/{NAME}/versions").json()["versions"]
    assert [one["verdicts"] for one in listed] == [None, None]


def test_a_time_that_is_none_is_refused(world: Any) -> None:
    world.train()
    assert get(world, f"/{NAME}/history", at="tuesday").status_code == 422


def test_the_interface_is_described(world: Any) -> None:
    described = world.http.get("/openapi.json").json()
    ours = {path: methods for path, methods in described["paths"].items() if path.startswith(BASE)}
    assert set(ours) == {
        BASE,
        f"{BASE}/train",
        f"{BASE}/train/{{job_id}}",
        f"{BASE}/train/{{job_id}}/cancel",
        f"{BASE}/triggers",
        f"{BASE}/{{name}}/versions",
        f"{BASE}/{{name}}/production",
        f"{BASE}/{{name}}/versions/{{version}}/promote",
        f"{BASE}/{{name}}/history",
        f"{BASE}/{{name}}/rollback",
        f"{BASE}/{{name}}/versions/{{version}}/backtest",
        f"{BASE}/{{name}}/versions/{{version}}/gate",
    }
    assert all(one["description"] for methods in ours.values() for one in methods.values())


def test_what_the_gate_found_is_shown_check_by_check(world: Any) -> None:
    world.train()
    job = world.train(machines=("pump-1",))
    answer = get(world, f"/{NAME}/versions/2/gate").json()
    assert (answer["model_name"], answer["version"]) == (NAME, "2")
    [judgement] = answer["judgements"]
    version = world.registry.version(NAME, "2")
    assert (judgement["decision"], judgement["reason"]) == (
        version.tags["gate"],
        version.tags["gate_reason"],
    )
    assert (judgement["job_id"], judgement["champion"]) == (job.job_id, "1")
    silhouette = next(one for one in judgement["checks"] if one["name"] == "silhouette")
    assert silhouette["value"] == pytest.approx(float(version.tags["silhouette"]), abs=1e-4)
    assert silhouette["must_be"] == "at least"
    assert silhouette["passed"] is (silhouette["value"] >= silhouette["limit"])


def test_a_version_that_nobody_has_judged_has_no_judgements(world: Any) -> None:
    world.train()
    run_id = world.registry.version(NAME, "1").run_id
    world.registry.register(NAME, run_id, {}, "by hand")
    assert get(world, f"/{NAME}/versions/2/gate").json()["judgements"] == []


@pytest.mark.parametrize("path", [f"/{NAME}/versions/9/gate", "/faultline-fan/versions/1/gate"])
def test_the_gate_of_a_version_that_is_not_there_is_not_found(world: Any, path: str) -> None:
    world.train()
    assert get(world, path).status_code == 404


def test_it_is_ready_when_its_dependencies_are(world: Any) -> None:
    answer = world.http.get("/health/ready")
    assert answer.json()["checks"] == {"database": "ok", "mlflow": "ok", "kafka": "ok"}


def test_it_is_not_ready_while_its_events_cannot_be_sent(world: Any) -> None:
    world.stream_trouble = "no broker answers"
    answer = world.http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["kafka"] == "no broker answers"
