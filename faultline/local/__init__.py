"""Everything on one machine, without containers: Kafka, PostgreSQL, MLflow and the services.

Starts processes and watches over them; knows nothing of readings, models or alarms.
"""
