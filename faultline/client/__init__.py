"""The services' HTTP interfaces from the caller's side: for the command line and the demonstration.

Knows addresses and answers, and nothing of how a version comes about.
"""

from faultline.client.live import LiveEvent
from faultline.client.predictor import Comparison, PredictorClient
from faultline.client.trainer import Job, TrainerClient

__all__ = ["Comparison", "Job", "LiveEvent", "PredictorClient", "TrainerClient"]
