"""PostgreSQL behind the stores, the job queue and the promotion log."""

from faultline.adapters.postgres.database import PostgresDatabase

__all__ = ["PostgresDatabase"]
