"""The room between the MQTT client and the bridge is bounded."""

from __future__ import annotations

import threading

from services.ingest.bridge.intake import Arrival, Intake


def arrival(number: int, payload: bytes = b"") -> Arrival:
    return Arrival("t", payload, number, 1, 1, False, 0)


def put_in_a_thread(intake: Intake, one: Arrival) -> tuple[threading.Thread, list[bool]]:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(intake.put(one)), daemon=True)
    thread.start()
    return thread, answers


def test_what_is_taken_keeps_its_room_until_it_is_released() -> None:
    intake = Intake(2, 10_000)
    assert intake.put(arrival(1))
    assert intake.put(arrival(2))
    taken = intake.take(0)
    assert [each.number for each in taken] == [1, 2]
    thread, answers = put_in_a_thread(intake, arrival(3))
    assert intake.take(0.05) == []
    assert answers == []
    intake.release(taken)
    thread.join(20)
    assert answers == [True]
    assert [each.number for each in intake.take(0)] == [3]
    assert len(intake) == 1


def test_bytes_are_bounded_too_but_one_large_message_gets_through() -> None:
    intake = Intake(10, 2_000)
    assert intake.put(arrival(1, b"x" * 5_000))
    thread, answers = put_in_a_thread(intake, arrival(2))
    assert answers == []
    intake.release(intake.take(0))
    thread.join(20)
    assert answers == [True]


def test_who_waits_for_room_is_let_go_when_it_closes() -> None:
    intake = Intake(1, 10_000)
    intake.put(arrival(1))
    thread, answers = put_in_a_thread(intake, arrival(2))
    intake.close()
    thread.join(20)
    assert answers == [False]
    assert not intake.put(arrival(3))


def test_no_more_is_taken_than_may_be_taken_apart_at_once() -> None:
    intake = Intake(10, 100_000_000)
    for number in range(3):
        intake.put(arrival(number, b"x" * 2_500_000))
    intake.put(arrival(3))
    assert [[each.number for each in intake.take(0)] for _ in range(4)] == [[0], [1], [2, 3], []]
