"""What the DAGs share: speaking with the trainer and MLflow, waiting, and judging quality.

All work is done by the trainer and by MLflow; nothing here computes on readings.
"""
