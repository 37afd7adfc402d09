"""What fulfils the ports: Kafka, PostgreSQL, MLflow, the system clock, and in-memory twins."""
