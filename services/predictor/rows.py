"""Makes readings of a table's rows: whose they are, of what type, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from faultline.errors import InvalidReading
from faultline.readings import (
    DEFAULT_MACHINE_TYPE,
    Reading,
    check_machine_id,
    make_reading,
    parse_timestamp,
)
from services.predictor.fleet import Fleet
from services.predictor.slot import ModelSlot
from services.predictor.tables import Cell, Table

NOBODY = ""
"""The machine of rows that name none. No reading can be of it: it has no window, no baseline."""
UNKNOWN_STEP_MS = 1
"""Between rows without a time, where the usual step of the training is not known."""
_OWN_COLUMNS = ("machine_id", "machine_type", "timestamp")
_MAX_ERRORS = 10


class Rows:
    """Makes readings of rows: whose they are, of what type, when."""

    def __init__(self, fleet: Fleet, slot: ModelSlot) -> None:
        self._fleet = fleet
        self._slot = slot

    def readings(self, table: Table, query: Mapping[str, str]) -> list[Reading]:
        """One reading per row.

        Parameters
        ----------
        query
            `machine_id` and `machine_type` of rows that name none; the table's own `params` go
            before.

        Raises
        ------
        InvalidReading
            Naming the rows and what is wrong with them.
        """
        asked = {**query, **table.params}
        unknown = sorted(set(table.params) - {"machine_id", "machine_type"})
        if unknown:
            raise InvalidReading(
                f"params: {unknown[0]!r} is not known, only machine_id and machine_type"
            )
        if not table.rows:
            raise InvalidReading("no rows; send at least one")
        machine_type = asked.get("machine_type") or self._only_type()
        machine_id = asked.get("machine_id", NOBODY)
        if machine_id != NOBODY:
            check_machine_id(machine_id)
        columns = table.columns
        if columns is None and not isinstance(table.rows[0], Mapping):
            columns = self._sensors(machine_type)
            if len(table.rows[0]) != len(columns):
                raise InvalidReading(
                    f"the rows have {len(table.rows[0])} cells without names, the model of "
                    f"{machine_type!r} has {len(columns)} sensors: {', '.join(columns)}"
                )
        readings: list[Reading] = []
        errors: list[str] = []
        latest: dict[str, int] = {}
        for number, row in enumerate(table.rows):
            cells = row if isinstance(row, Mapping) else dict(zip(columns or (), row, strict=True))
            try:
                readings.append(
                    self._reading(cells, machine_id, machine_type, latest, table.is_text)
                )
            except InvalidReading as error:
                errors.append(f"row {number}: {error}")
                if len(errors) == _MAX_ERRORS:
                    break
        if errors:
            raise InvalidReading("; ".join(errors))
        return readings

    def _only_type(self) -> str:
        loaded = self._slot.loaded()
        return next(iter(loaded)) if len(loaded) == 1 else DEFAULT_MACHINE_TYPE

    def _sensors(self, machine_type: str) -> tuple[str, ...]:
        model = self._slot.model(machine_type)
        if model is None:
            raise InvalidReading(
                f"cells without names are the sensors of a model, but none of {machine_type!r} is "
                "loaded; name the columns"
            )
        return model.detector.sensors

    def _reading(
        self,
        cells: Mapping[str, Cell],
        machine_id: str,
        machine_type: str,
        latest: dict[str, int],
        is_text: bool,
    ) -> Reading:
        whose = _text(cells, "machine_id") or machine_id
        kind = _text(cells, "machine_type") or machine_type
        at_ms = self._time(cells, whose, kind, latest, is_text)
        latest[whose] = at_ms
        sensors = self._values(cells, kind, is_text)
        if whose == NOBODY:
            named = make_reading("nobody", at_ms, sensors, kind)
            return msgspec.structs.replace(named, machine_id=NOBODY)
        return make_reading(whose, at_ms, sensors, kind)

    def _step_ms(self, machine_type: str) -> int:
        """Between two rows, as the version's other clients count where there are no times."""
        loaded = self._slot.loaded().get(machine_type)
        return UNKNOWN_STEP_MS if loaded is None else loaded.step_ms or UNKNOWN_STEP_MS

    def _values(
        self, cells: Mapping[str, Cell], machine_type: str, is_text: bool
    ) -> dict[str, float | None]:
        values: dict[str, float | None] = {}
        for name, cell in cells.items():
            if name in _OWN_COLUMNS:
                continue
            try:
                values[name] = _number(name, cell, is_text)
            except InvalidReading:
                # A column of remarks is passed over, as MLflow does with what a model does not use.
                model = self._slot.model(machine_type)
                if model is None or name in model.detector.sensors:
                    raise
        return values

    def _time(
        self,
        cells: Mapping[str, Cell],
        machine_id: str,
        machine_type: str,
        latest: Mapping[str, int],
        is_text: bool,
    ) -> int:
        at = cells.get("timestamp")
        if at is None:
            if "timestamp" in cells:
                raise InvalidReading("timestamp: is missing")
            before_ms = latest.get(machine_id)
            if before_ms is None:
                state = self._fleet.state_of(machine_id)
                before_ms = None if state is None else state.latest_ms
            return 0 if before_ms is None else before_ms + self._step_ms(machine_type)
        if is_text and isinstance(at, str):
            try:
                return parse_timestamp(float(at))
            except ValueError:
                return parse_timestamp(at)
        return parse_timestamp(at)


def _text(cells: Mapping[str, Cell], name: str) -> str | None:
    cell = cells.get(name)
    if cell is None or isinstance(cell, str):
        return cell
    raise InvalidReading(f"{name}: {cell!r} must be text")


def _number(name: str, cell: Cell, is_text: bool) -> float | None:
    if not isinstance(cell, str):
        return None if cell is None or math.isnan(cell) else cell
    if is_text and "_" not in cell:
        try:
            return float(cell)
        except ValueError:
            pass
    raise InvalidReading(f"sensors.{name}: {cell[:40]!r} is no number")
