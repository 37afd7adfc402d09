"""The detector: learns what is normal for a machine type and says how far a row is from it.

Pure: no I/O, nothing of Kafka, SQL or MLflow, nothing of the rest of the package. Importing this
gives all that scoring needs, in NumPy; `faultline.detector.fit` also needs scikit-learn.
"""

from faultline.detector.adaptation import Adaptation
from faultline.detector.detector import (
    Contribution,
    Detector,
    RowState,
    Scores,
    Window,
)
from faultline.detector.explanation import sentence
from faultline.detector.health import Health
from faultline.detector.history import MachineHistory, UnfitHistory

__all__ = [
    "Adaptation",
    "Contribution",
    "Detector",
    "Health",
    "MachineHistory",
    "RowState",
    "Scores",
    "UnfitHistory",
    "Window",
    "sentence",
]
