from __future__ import annotations

from pathlib import Path

import pytest

from faultline.errors import Unavailable
from faultline.local.kafka import ensure_jars, properties, render_properties


def fetch_one(target: Path) -> None:
    (target / "kafka.jar").write_bytes(b"jar")


def fetch_nothing(target: Path) -> None:
    raise AssertionError("fetched although the jars are there")


def fetch_half(target: Path) -> None:
    fetch_one(target)
    raise OSError("connection refused")


def test_the_jars_are_fetched_the_first_time(tmp_path: Path) -> None:
    jars = ensure_jars(tmp_path / "cache" / "kafka", fetch_one)

    assert [jar.name for jar in jars.iterdir()] == ["kafka.jar"]


def test_the_second_time_nothing_is_fetched(tmp_path: Path) -> None:
    ensure_jars(tmp_path / "kafka", fetch_one)

    assert ensure_jars(tmp_path / "kafka", fetch_nothing) == tmp_path / "kafka"


def test_jars_that_cannot_be_fetched_are_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        Unavailable, match=r"Kafka 4\.\d.* connection refused\. .*--kafka HOST:PORT"
    ):
        ensure_jars(tmp_path / "kafka", fetch_half)


def test_a_fetch_that_was_cut_short_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        ensure_jars(tmp_path / "kafka", fetch_half)

    assert list(tmp_path.iterdir()) == []


def test_topics_appear_only_when_they_are_created() -> None:
    assert properties(9092, 9093)["auto.create.topics.enable"] == "false"


def test_both_listeners_are_on_this_machine_alone() -> None:
    assert properties(9092, 9093)["listeners"] == (
        "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    )


def test_the_properties_file_has_a_line_for_each() -> None:
    assert render_properties({"a": "1", "b": "2"}) == "a=1\nb=2\n"
