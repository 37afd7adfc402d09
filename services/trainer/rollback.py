"""Which version a rollback leads to: knows the history of a model, and not the registry."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from faultline.ports.promotions import Promotion, PromotionKind


def version_before(history: Sequence[Promotion], present: Collection[str]) -> str | None:
    """The version that was in Production before the one that is now; None when there was none.

    A rollback takes back what came after the version that it led to, so that two of them in a row
    go two versions back.

    Parameters
    ----------
    history
        The changes of Production, newest first.
    present
        Versions that the registry still has.

    Examples
    --------
    >>> def change(to, kind=PromotionKind.PROMOTION):
    ...     return Promotion(promotion_id="", model_name="", to_version=to, from_version=None,
    ...                      at_ms=0, actor="", reason="", kind=kind)
    >>> version_before([change("3"), change("2"), change("1")], {"1", "2", "3"})
    '2'
    >>> back = change("2", PromotionKind.ROLLBACK)
    >>> version_before([back, change("3"), change("2"), change("1")], {"1", "2", "3"})
    '1'
    """
    lived: list[str] = []
    for change in reversed(history):
        version = change.to_version
        if version is None:
            continue
        if change.kind is PromotionKind.ROLLBACK and version in lived:
            last = len(lived) - 1 - lived[::-1].index(version)
            del lived[last + 1 :]
        elif not lived or lived[-1] != version:
            lived.append(version)
    now = lived[-1] if lived else None
    return next((one for one in reversed(lived[:-1]) if one in present and one != now), None)


def nowhere_back(name: str, history: Sequence[Promotion], present: Collection[str]) -> str:
    """Why no version is before the present one, and which can be named instead.

    Parameters
    ----------
    history
        The changes of Production, newest first.
    present
        Versions that the registry still has.
    """
    live = history[0].to_version if history else None
    been = {change.to_version for change in history if change.to_version in present}
    others = sorted(been - {live, None}, key=lambda one: int(one or 0))
    if others:
        which = ", ".join(map(str, others))
        before = f"version {live} was the first in Production" if live else "none is there now"
        return f"there is no version of {name} before the present one ({before}); name one: {which}"
    return f"there is no version of {name} to roll back to: " + (
        f"only version {live} has been in Production" if live else "none has been there"
    )
