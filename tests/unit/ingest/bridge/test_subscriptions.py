"""Topic patterns: what they are of, and what they say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.ingest.bridge.subscriptions import Subscription, first_match


def said(pattern: str, topic: str) -> dict[str, str] | None:
    found = Subscription(topic=pattern).match(topic)
    return None if found is None else dict(found)


@pytest.mark.parametrize(
    ("pattern", "asked_for"),
    [
        ("plant/+/{machine}/{sensor}", "plant/+/+/+"),
        ("factory/{machine}/json", "factory/+/json"),
        ("{machine_type}/{machine}/#", "+/+/#"),
        ("#", "#"),
        ("/odd//{machine}", "/odd//+"),
    ],
)
def test_the_broker_is_asked_for_a_wildcard_in_place_of_each_placeholder(
    pattern: str, asked_for: str
) -> None:
    assert Subscription(topic=pattern).filter == asked_for


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("plant/+/{machine}/{sensor}", "plant/a/p1/t", {"machine": "p1", "sensor": "t"}),
        ("plant/+/{machine}/{sensor}", "plant/a/p1", None),
        ("plant/+/{machine}/{sensor}", "plant/a/p1/t/u", None),
        ("plant/+/{machine}/{sensor}", "office/a/p1/t", None),
        ("{machine_type}/{machine}", "pump/p1", {"machine_type": "pump", "machine": "p1"}),
        ("f/{machine}/#", "f/p1/a/b", {"machine": "p1"}),
        ("f/{machine}/#", "f/p1", {"machine": "p1"}),
        ("f/{machine}/#", "f", None),
        ("#", "any/thing", {}),
        ("#", "$SYS/uptime", None),
        ("$SYS/{machine}", "$SYS/uptime", {"machine": "uptime"}),
    ],
)
def test_a_topic_says_what_stands_at_the_placeholders(
    pattern: str, topic: str, expected: dict[str, str] | None
) -> None:
    assert said(pattern, topic) == expected


def test_of_several_subscriptions_the_first_counts() -> None:
    first = Subscription(topic="a/{machine}/t")
    second = Subscription(topic="a/{machine}/{sensor}")
    assert first_match([first, second], "a/p/t") == (first, {"machine": "p"})
    found = first_match([first, second], "a/p/u")
    assert found == (second, {"machine": "p", "sensor": "u"})
    assert first_match([first, second], "b") is None


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a/#/b",
        "a/b#",
        "a/m-{machine}",
        "a/{site}",
        "{machine}/{machine}",
        "a/{sensor}",
        "$share/g/a/{machine}",
        "a\0b",
    ],
)
def test_a_pattern_that_cannot_work_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        Subscription(topic=pattern)
