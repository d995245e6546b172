"""Metrics of a running fit, recorded in a file and, if wanted, in TensorBoard or MLflow."""

from training.tracking.base import Entry, Event, Tracker
from training.tracking.open import TRACKERS, Tracking, open_tracking

__all__ = ["TRACKERS", "Entry", "Event", "Tracker", "Tracking", "open_tracking"]
