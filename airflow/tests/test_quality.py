from __future__ import annotations

from typing import Any

import pytest

PASSED = {"gate": "passed", "silhouette": "0.62", "stability": "undefined"}


def _version(number: str, stage: str, **tags: str) -> dict[str, Any]:
    return {"version": number, "stage": stage, "tags": tags}


@pytest.mark.parametrize(
    ("tags", "limits", "said"),
    [
        (PASSED, [], []),
        (PASSED, ["silhouette >= 0.62", " silhouette<1 "], []),
        (PASSED, ["silhouette > 0.62"], ["silhouette > 0.62: it is 0.62"]),
        (PASSED, ["stability >= 0.5"], ["stability >= 0.5: its stability is 'undefined'"]),
        (PASSED, ["recall >= 0.5"], ["recall >= 0.5: the version does not tell its recall"]),
        ({"gate": "refused", "gate_reason": "few rows"}, [], ["the gate: refused (few rows)"]),
        ({"gate": "waiting"}, [], ["the gate: waiting"]),
        ({}, [], ["the gate: has not judged it"]),
    ],
)
def test_a_version_is_good_when_the_gate_passed_it_and_it_keeps_the_limits(
    tags: dict[str, str], limits: list[str], said: list[str]
) -> None:
    from model_lifecycle.quality import shortcomings

    assert shortcomings(tags, limits) == said


def test_a_figure_that_is_not_a_number_keeps_no_limit() -> None:
    from model_lifecycle.quality import shortcomings

    assert shortcomings({**PASSED, "silhouette": "nan"}, ["silhouette >= 0"]) != []


def test_a_limit_that_cannot_be_read_is_an_error() -> None:
    from model_lifecycle.quality import shortcomings

    with pytest.raises(ValueError, match="is no limit"):
        shortcomings(PASSED, ["silhouette about 0.3"])


def test_what_is_archived_or_older_than_production_is_no_candidate() -> None:
    from model_lifecycle.quality import standing

    versions = [_version("9", "Staging"), _version("10", "Production")]
    assert standing(versions[0], versions) == ["version 10, which is newer, is in Production"]
    assert standing(_version("11", "Archived"), versions) == ["it is in Archived, not in Staging"]
    assert standing(_version("11", "Staging"), versions) == []


def test_what_learnt_the_same_is_no_candidate_unless_told_so() -> None:
    from model_lifecycle.quality import standing

    same = {"data_version": "d", "sensors_version": "s", "settings_version": "t"}
    first = _version("1", "Archived", **same)
    second = _version("2", "Staging", **same)
    assert standing(second, [first, second]) == ["it learnt from the same readings as version 1"]
    assert standing(second, [first, second], same_data=True) == []
    other = _version("1", "Archived", **{**same, "settings_version": "u"})
    assert standing(second, [other, second]) == []
