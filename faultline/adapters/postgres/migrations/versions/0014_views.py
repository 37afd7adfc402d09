"""Views for people and Grafana: a row per sensor value, verdicts and alarms in plain columns."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

# `time` is the tables' own column and no expression of it: so that a condition on it reaches the
# partitions and the key. jsonb_each_text makes NULL of a missing value.
_VIEWS = {
    "machine_readings": """
        SELECT timestamp AS time, machine_id, machine_type, sensors
        FROM readings
    """,
    "sensor_values": """
        SELECT timestamp AS time, machine_id, machine_type, part.sensor,
               part.value::double precision AS value
        FROM readings, jsonb_each_text(sensors) AS part (sensor, value)
    """,
    "machine_verdicts": """
        SELECT timestamp AS time, machine_id, machine_type, status, score, cluster, known, reason,
               contributions -> 0 ->> 'sensor' AS top_sensor, model_name, model_version
        FROM verdicts
    """,
    "machine_alarms": """
        SELECT alarm_id, machine_id, machine_type, state, began_at AS began, opened_at AS opened,
               closed_at AS closed, peak_score, peak_at AS peaked,
               ARRAY(
                   SELECT part.told ->> 'sensor'
                   FROM jsonb_array_elements(top_sensors) WITH ORDINALITY AS part (told, place)
                   ORDER BY part.place
               ) AS sensors,
               why, bad_readings, model_name, model_version
        FROM alarms
    """,
}


def upgrade() -> None:
    for name, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in _VIEWS:
        op.execute(f"DROP VIEW {name}")
