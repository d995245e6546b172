"""Data set folder: reading, validation and splits."""

from training.data.dataset import Dataset, digest_of, load_dataset, validate
from training.data.problems import Problem
from training.data.tables import Interactions
from training.data.vectors import IdEmbeddings
from training.errors import DataError

__all__ = [
    "DataError",
    "Dataset",
    "IdEmbeddings",
    "Interactions",
    "Problem",
    "digest_of",
    "load_dataset",
    "validate",
]
