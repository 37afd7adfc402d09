"""What makes `faultline replay` doubt that a file is read as it was meant: told once, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from faultline.readings import Reading, format_timestamp
from faultline.sources.recording import Recording

# Nobody's machines were recorded before 1980.
_FIRST_LIKELY_MS = 315_532_800_000
# Of each machine: enough to meet the times of a second one in the same file again.
_KEPT_TIMES = 4_096


class Doubts:
    """Looks at the readings that go out.

    Parameters
    ----------
    files
        What is sent.
    moved
        Whether the times are no longer those of the files.
    tell
        Says a sentence; called once for each doubt.
    """

    def __init__(
        self, files: Sequence[Recording], *, moved: bool, tell: Callable[[str], None]
    ) -> None:
        self._files = files
        self._tell = tell
        self._mixed_up = any(file.machine_column is None for file in files)
        self._undated = not moved
        self._first_times: dict[str, set[int]] = {}
        self._last_ms: dict[str, int] = {}

    def watching(
        self, advance: Callable[[Sequence[Reading]], None]
    ) -> Callable[[Sequence[Reading]], None]:
        """Let what is told of every batch be looked at, too."""

        def watched(batch: Sequence[Reading]) -> None:
            advance(batch)
            self.look(batch)

        return watched

    def look(self, batch: Sequence[Reading]) -> None:
        """Look at the next readings, at least one."""
        if self._undated:
            self._undated = False
            if batch[0].timestamp_ms < _FIRST_LIKELY_MS:
                self._tell(self._begins_early(batch[0].timestamp_ms))
        if self._mixed_up:
            machine_id = self._first_doubled(batch)
            if machine_id is not None:
                self._mixed_up = False
                self._tell(_comes_again(self._texts(machine_id)))

    def _begins_early(self, timestamp_ms: int) -> str:
        seconds = ""
        if self._files[0].timestamp_unit == "ms":
            seconds = "if these numbers are seconds, give --timestamp-unit s; "
        return (
            f"the times begin at {format_timestamp(timestamp_ms)}: {seconds}if they do not count "
            "since 1970, give the time of the first row with --start"
        )

    def _first_doubled(self, batch: Iterable[Reading]) -> str | None:
        """The first machine of which a time comes again."""
        for reading in batch:
            machine_id, timestamp_ms = reading.identity
            first = self._first_times.setdefault(machine_id, set())
            if timestamp_ms in first or self._last_ms.get(machine_id) == timestamp_ms:
                return machine_id
            if len(first) < _KEPT_TIMES:
                first.add(timestamp_ms)
            self._last_ms[machine_id] = timestamp_ms
        return None

    def _texts(self, machine_id: str) -> list[str]:
        """Columns of text in the files of a machine; what was read of a pipe is gone."""
        files = [file for file in self._files if file.machine_id == machine_id]
        named = (name for file in files if file.path.is_file() for name in file.texts())
        return list(dict.fromkeys(named))


def _comes_again(texts: Sequence[str]) -> str:
    told = (
        "times come more than once: if the rows are of several machines, name the column with "
        "--machine-column"
    )
    return f"{told}; left out as text: {', '.join(texts)}" if texts else told
