"""`GET /api/v1/model/comparison`: how the challenger of each machine type does beside the champion.

Counts come from the store, so that any replica answers for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from faultline.comparisons import SCORE_EDGES, Comparison, Side
from faultline.errors import NotFound
from faultline.events import machine_type_of, model_name
from faultline.ports.comparisons import ComparisonStore
from faultline.readings import format_timestamp
from faultline.web import problems
from services.predictor.contest import Contests
from services.predictor.loader import Refusal
from services.predictor.slot import ModelSlot

_PER = 1_000


class SideAnswer(BaseModel):
    """What one version made of the readings that both scored."""

    failures: int
    failure_rate: float | None = Field(description="Of the readings; null without readings.")
    alarms: int = Field(description="Alarms that the alarm rule opened on its verdicts.")
    alarms_per_1000_readings: float | None
    scores: list[int] = Field(description="Readings per bin; the last has what is above all ends.")


class PairAnswer(BaseModel):
    """A champion and a challenger, over the readings that both have scored."""

    champion_version: str
    challenger_version: str
    since: str = Field(description="When the first reading was compared.")
    until: str = Field(description="When the last was.")
    readings: int
    agreement: float | None = Field(
        description="Part of the readings that both or neither called a failure."
    )
    champion: SideAnswer
    challenger: SideAnswer


class TypeAnswer(BaseModel):
    """One machine type: what is compared now, and what was."""

    machine_type: str
    model: str
    champion_version: str | None = Field(description="The version in Production.")
    challenger_version: str | None = Field(description="The one in Staging; null while none is.")
    challenger_gate: str | None = Field(description="What the gate says of it.")
    challenger_refused: str | None = Field(
        description="Why this replica cannot load the version in Staging."
    )
    answering_share: float = Field(description="Part of the machines that it answers.")
    current: PairAnswer | None = Field(description="Null until readings have been compared.")
    former: list[PairAnswer] = Field(description="Earlier pairs, the last compared first.")


class Comparisons(BaseModel):
    """All machine types, by name."""

    score_edges: list[float] = Field(
        description="Upper ends of the bins of the score distributions, included; above 1 fails."
    )
    comparisons: list[TypeAnswer]


def comparison_routes(
    champions: ModelSlot,
    challengers: ModelSlot,
    contests: Contests,
    refusals: Callable[[], Mapping[str, Refusal]],
    store: ComparisonStore,
) -> APIRouter:
    """The route.

    Parameters
    ----------
    refusals
        The refused challenger of each model, by model name.
    """
    router = APIRouter(prefix="/api/v1")
    invalid = problems(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )

    @router.get("/model/comparison", tags=["models"], responses=invalid)
    def comparison(
        machine_type: Annotated[
            str | None,
            Query(description="Only this one.", examples=["pump"], pattern="^[a-z0-9_-]{1,63}$"),
        ] = None,
    ) -> Comparisons:
        """Compare each challenger with its champion, over all replicas."""
        kept = store.comparisons(None if machine_type is None else model_name(machine_type))
        names = {one.model_name for one in kept}
        names |= {model_name(kind) for kind in (*champions.loaded(), *challengers.loaded())}
        if machine_type is not None:
            names &= {model_name(machine_type)}
            if not names:
                raise NotFound(
                    f"no model of the machine type {machine_type!r} is loaded or was compared"
                )
        return Comparisons(
            score_edges=list(SCORE_EDGES),
            comparisons=[
                answer(name, [one for one in kept if one.model_name == name])
                for name in sorted(names)
            ],
        )

    def answer(name: str, pairs: Sequence[Comparison]) -> TypeAnswer:
        kind = machine_type_of(name)
        contest = contests(kind)
        champion = champions.loaded().get(kind)
        challenger = challengers.loaded().get(kind)
        refused = refusals().get(name)
        current = [one for one in pairs if one.pair == contest.pair]
        return TypeAnswer(
            machine_type=kind,
            model=name,
            champion_version=None if champion is None else champion.model.version,
            challenger_version=None if challenger is None else challenger.model.version,
            challenger_gate=None if challenger is None else challenger.gate,
            challenger_refused=None if refused is None else refused.reason,
            answering_share=contest.share,
            current=pair_answer(current[0]) if current else None,
            former=[pair_answer(one) for one in pairs if one not in current],
        )

    return router


def pair_answer(pair: Comparison) -> PairAnswer:
    """A pair as the API shows it."""
    return PairAnswer(
        champion_version=pair.champion_version,
        challenger_version=pair.challenger_version,
        since=format_timestamp(pair.since_ms),
        until=format_timestamp(pair.until_ms),
        readings=pair.readings,
        agreement=_rate(pair.agreed, pair.readings),
        champion=_side(pair.champion, pair.readings),
        challenger=_side(pair.challenger, pair.readings),
    )


def _side(side: Side, readings: int) -> SideAnswer:
    return SideAnswer(
        failures=side.failures,
        failure_rate=_rate(side.failures, readings),
        alarms=side.alarms,
        alarms_per_1000_readings=_rate(_PER * side.alarms, readings),
        scores=list(side.scores),
    )


def _rate(count: int, of: int) -> float | None:
    return count / of if of else None
