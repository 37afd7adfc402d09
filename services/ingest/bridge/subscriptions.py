"""What is subscribed to: topic patterns whose levels say which machine and sensor a message is of.

Pure: knows nothing of a broker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from faultline.readings import DEFAULT_MACHINE_TYPE

_PLACEHOLDERS = ("{machine}", "{machine_type}", "{sensor}")
_MAX_BYTES = 65_535


def _pattern(topic: str) -> str:
    if not 1 <= len(topic.encode()) <= _MAX_BYTES or "\0" in topic:
        raise ValueError(f"a topic has 1 to {_MAX_BYTES} bytes and no NUL")
    if topic.startswith("$share/"):
        raise ValueError("shared subscriptions would tear a machine's values apart")
    levels = topic.split("/")
    for number, level in enumerate(levels, 1):
        if level == "#" and number == len(levels):
            continue
        if level in _PLACEHOLDERS:
            if levels.count(level) > 1:
                raise ValueError(f"{level} stands in {topic!r} more than once")
        elif level != "+" and set("+#{}") & set(level):
            raise ValueError(
                f"level {level!r} of {topic!r} must be text, '+', {', '.join(_PLACEHOLDERS)}, "
                "or '#' at the end"
            )
    return topic


class Subscription(BaseModel):
    """A pattern of topics and what their payloads are.

    With ``{sensor}`` a message is one value of one sensor, without it a reading in JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: Annotated[str, AfterValidator(_pattern)] = Field(
        description="Levels are text, `+`, `{machine}`, `{machine_type}`, `{sensor}`; `#` at the "
        "end."
    )
    machine_type: str = Field(
        DEFAULT_MACHINE_TYPE,
        pattern=r"^[a-z0-9_-]{1,63}$",
        description="Of the machines whose type neither the topic nor the payload names.",
    )

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.is_value and "{machine}" not in self.topic.split("/"):
            raise ValueError(f"{self.topic!r} names a sensor, but not with {{machine}} whose")
        return self

    @property
    def is_value(self) -> bool:
        """Whether a message is one value of one sensor."""
        return "{sensor}" in self.topic.split("/")

    @property
    def filter(self) -> str:
        """What the broker is asked for.

        >>> Subscription(topic="plant/+/{machine}/{sensor}").filter
        'plant/+/+/+'
        """
        return "/".join("+" if level in _PLACEHOLDERS else level for level in self.topic.split("/"))

    def match(self, topic: str) -> Mapping[str, str] | None:
        """What a topic says, by placeholder; None when the pattern is not of it.

        >>> Subscription(topic="plant/+/{machine}/{sensor}").match("plant/a/pump-1/pressure")
        {'machine': 'pump-1', 'sensor': 'pressure'}
        """
        levels = self.topic.split("/")
        given = topic.split("/")
        if levels[-1] == "#":
            # 'a/#' is of 'a' too.
            levels.pop()
            given = given[: len(levels)]
        # A wildcard at the first level is not of the broker's own topics.
        if len(levels) != len(given) or (topic[:1] == "$" and self.filter[:1] != "$"):
            return None
        said: dict[str, str] = {}
        for level, text in zip(levels, given, strict=True):
            if level in _PLACEHOLDERS:
                said[level.strip("{}")] = text
            elif level not in ("+", text):
                return None
        return said


def first_match(
    subscriptions: Iterable[Subscription], topic: str
) -> tuple[Subscription, Mapping[str, str]] | None:
    """The first subscription that a topic is of, and what the topic says."""
    for subscription in subscriptions:
        said = subscription.match(topic)
        if said is not None:
            return subscription, said
    return None
