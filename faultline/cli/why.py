"""`faultline why`: gives a past verdict of the stream again, with the version that gave it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultline.cli.contributions import contribution_objects, contribution_table, in_a_sentence
from faultline.cli.offline import print_json
from faultline.cli.options import HomeOption, checked, moment
from faultline.cli.progress import counting_bar

if TYPE_CHECKING:
    from faultline.hindsight import Hindsight
    from faultline.judge import Model
    from faultline.ports.promotions import Promotion, PromotionLog
    from faultline.ports.stores import StoredVerdict
    from faultline.verdicts import Verdict

_LOOKED_THROUGH = 1_000


def why(
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="Its id.")],
    timestamp: Annotated[
        str,
        typer.Argument(
            metavar="TIMESTAMP",
            help="The reading's time: RFC 3339 (UTC without a zone) or epoch milliseconds.",
        ),
    ],
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object in place of the text.")
    ] = False,
) -> None:
    """Reproduce a past verdict with the version that gave it, and say whether it is equal.

    The version is fetched from the registry and the machine's readings from the
    database, from the first that the version judged without another in between,
    because what it followed of the machine grew from all of them. The sentence and
    each sensor's part are those of the verdict given again.

    Exit status: 0 when the two are equal (status, cluster, score to 1e-9), else 1.
    """
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - a quick --help
    from faultline.adapters.postgres import PostgresDatabase  # noqa: PLC0415
    from faultline.hindsight import look_back  # noqa: PLC0415
    from faultline.local.home import load_endpoints  # noqa: PLC0415
    from faultline.offline.models import pull  # noqa: PLC0415
    from faultline.settings import RegistrySettings  # noqa: PLC0415

    at_ms = checked(moment, timestamp, "TIMESTAMP")
    endpoints = load_endpoints(home, needs=("database_url", "mlflow"))
    settings = RegistrySettings().model_copy(update={"mlflow_tracking_uri": endpoints.mlflow})
    registry = MlflowRegistry(settings)

    def load(name: str, version: str) -> Model:
        return pull(f"models:/{name}/{version}", registry).model

    database = PostgresDatabase(endpoints.database_url)
    try:
        with counting_bar("judging again") as seen:
            found = look_back(database.fleet_store(), load, machine, at_ms, seen)
        promoted = promotion_for(database.promotion_log(), found.stored)
    finally:
        database.dispose()
    told = document(found, promoted)
    if as_json:
        print_json(told)
    else:
        for line in lines(told):
            typer.echo(line)
    if not found.equal:
        raise typer.Exit(1)


def promotion_for(log: PromotionLog, stored: StoredVerdict) -> Promotion | None:
    """The promotion that was to end a verdict without a model; None for others, or when none was.

    The one before the reading's time, when the predictor could not load the version, else the first
    after it.
    """
    from faultline.events import model_name  # noqa: PLC0415 - a quick --help

    if stored.model_version is not None:
        return None
    name, at_ms = model_name(stored.machine_type), stored.verdict.timestamp_ms
    after = [
        one
        for one in log.list(name, _LOOKED_THROUGH)
        if one.to_version is not None and one.at_ms > at_ms
    ]
    return log.live_at(name, at_ms) or (after[-1] if after else None)


def document(found: Hindsight, promoted: Promotion | None = None) -> dict[str, Any]:
    """What was found, as it is printed with `--json`.

    Parameters
    ----------
    promoted
        See `promotion_for`.
    """
    from faultline.readings import format_timestamp  # noqa: PLC0415

    stored, anew = found.stored, found.anew
    shown = anew if anew is not None else stored.verdict
    from_ms = found.replayed_from_ms
    return {
        "machine_id": stored.machine_id,
        "machine_type": stored.machine_type,
        "timestamp": format_timestamp(stored.verdict.timestamp_ms),
        "model_name": stored.model_name,
        "model_version": stored.model_version,
        "promoted": None
        if promoted is None
        else {
            "model_name": promoted.model_name,
            "version": promoted.to_version,
            "at": format_timestamp(promoted.at_ms),
        },
        "equal": found.equal,
        "relative_difference": found.relative_difference,
        "stored": _verdict(stored.verdict),
        "again": None if anew is None else _verdict(anew),
        "sentence": in_a_sentence(stored.machine_id, shown) if shown.contributions else None,
        "sensors": contribution_objects(shown.contributions, shown.health),
        "replayed": {
            "readings": found.replayed,
            "since_version_began": found.of_version,
            "from": None if from_ms is None else format_timestamp(from_ms),
        },
        "caveats": list(found.caveats),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": str(verdict.status),
        "score": verdict.score,
        "cluster": verdict.cluster,
        "known": verdict.known,
        "reason": verdict.reason,
        "health": verdict.health,
    }


def lines(told: dict[str, Any]) -> list[str]:
    """The same for a person."""
    version = told["model_version"]
    by = f"{told['model_name']} version {version}" if version else "no model"
    if (promoted := told["promoted"]) is not None:
        by += (
            f" (version {promoted['version']} of {promoted['model_name']} was promoted at "
            f"{promoted['at']})"
        )
    said = [
        f"{told['machine_id']} at {told['timestamp']}, by {by}",
        f"  stored:  {_in_words(told['stored'])}",
        f"  again:   {_in_words(told['again']) if told['again'] else 'cannot be given'}",
        f"  {_comparison(told)}",
    ]
    if told["sentence"]:
        said += ["", told["sentence"], "", *contribution_table(told["sensors"])]
    replayed = told["replayed"]
    if replayed["from"]:
        filled = replayed["readings"] - replayed["since_version_began"]
        said += [
            "",
            f"replayed {replayed['readings']:,} readings from {replayed['from']}"
            + (f", the first {filled:,} from before the version began" if filled > 0 else ""),
        ]
    return said + [f"note: {caveat}" for caveat in told["caveats"]]


def _in_words(verdict: dict[str, Any]) -> str:
    if verdict["score"] is None:
        return str(verdict["status"])
    cluster = f"cluster {verdict['cluster']}" + ("" if verdict["known"] else ", unlike any known")
    reason = f" ({verdict['reason']})" if verdict["reason"] else ""
    return f"{verdict['status']}{reason}, score {verdict['score']:.12g}, {cluster}"


def _comparison(told: dict[str, Any]) -> str:
    difference = told["relative_difference"]
    if told["equal"]:
        return "equal" if not difference else f"equal (the scores to {difference:.1e})"
    if told["again"] is None:
        return "not reproduced"
    if difference is None:
        return "NOT equal"
    return f"NOT equal (the scores differ by {difference:.1e} of their size)"
