"""Dead letters of the bridge: payloads that were refused, unchanged, with the reason in headers.

The bridge writes them itself, as only it has the payload and its MQTT topic. The headers are those
of `faultline.dead_letters`; without a partition and an offset, which the payload never had.
"""

from __future__ import annotations

from collections.abc import Sequence

from faultline.ports.broker import Headers
from faultline.readings import field_of, format_timestamp

# Below the 2 MiB of the dead-letter topic, headers included; MQTT lets through 256 MiB.
MAX_BYTES = 1_500_000
_DETAIL_CHARACTERS = 2_000
_POSITIONS = 200


def letter_headers(
    topic: str, payload: bytes, detail: str, positions: Sequence[int], at_ms: int
) -> Headers:
    """The headers of a dead letter, in UTF-8.

    Parameters
    ----------
    topic
        The MQTT topic that the payload came on.
    positions
        Which readings of an array, counted from 0; none when it is the whole.
    """
    if len(payload) > MAX_BYTES:
        detail = f"{detail}; of {len(payload)} bytes the first {MAX_BYTES} are kept"
    if len(detail) > _DETAIL_CHARACTERS:
        detail = f"{detail[:_DETAIL_CHARACTERS]}…"
    told = {
        "reason": f"invalid_{field_of(detail)}",
        "detail": detail,
        "positions": ",".join(str(position) for position in positions[:_POSITIONS]),
        "mqtt_topic": topic,
        "time": format_timestamp(at_ms),
    }
    return tuple((name, text.encode("utf-8", "replace")) for name, text in told.items())
