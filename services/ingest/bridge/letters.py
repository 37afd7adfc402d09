"""Dead letters of the bridge: payloads that were refused, unchanged, with the reason in headers.

The bridge writes them itself, as only it has the payload and its MQTT topic. The headers are those
of `faultline.dead_letters`, without a source, which the payload never had in Kafka; and beside them
the MQTT topic, and what it says that the payload leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faultline.dead_letters import letter_headers, told_headers
from faultline.ports.broker import Headers
from faultline.readings import field_of
from services.ingest.bridge.intake import Arrival

# Below the 2 MiB of the dead-letter topic, headers included; MQTT lets through 256 MiB.
MAX_BYTES = 1_500_000


def headers_of(
    arrival: Arrival, detail: str, positions: Sequence[int], told: Mapping[str, str]
) -> Headers:
    """The headers of a refused message's letter, in UTF-8.

    Parameters
    ----------
    detail
        What is wrong, in sentences.
    positions
        Which readings of an array, counted from 0; none when it is the whole.
    told
        What readings leave out of themselves, see `left_out`.
    """
    size = len(arrival.payload)
    if size > MAX_BYTES:
        detail = f"{detail}; of {size} bytes the first {MAX_BYTES} are kept"
    return (
        ("mqtt_topic", arrival.topic.encode("utf-8", "replace")),
        *told_headers(told),
        *letter_headers(None, f"invalid_{field_of(detail)}", detail, positions, arrival.arrived_ms),
    )
