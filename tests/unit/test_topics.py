"""The topics are declared once, and agree with each other."""

from __future__ import annotations

from faultline import topics


def test_a_machine_has_the_same_partition_in_every_topic_keyed_by_it() -> None:
    counts = {topic.partitions for topic in topics.ALL if topic.key == "machine_id"}
    assert len(counts) == 1


def test_no_name_is_declared_twice() -> None:
    names = [topic.name for topic in topics.ALL]
    assert len(names) == len(set(names))


def test_the_snapshots_are_compacted_and_facts_expire() -> None:
    assert topics.PREDICTOR_STATE.config["cleanup.policy"] == "compact"
    assert "retention.ms" not in topics.PREDICTOR_STATE.config
    assert topics.READINGS.config["cleanup.policy"] == "delete"
