"""Configuration: one frozen dataclass per recipe, saved in the checkpoint as it was resolved.

Every value can be given on the command line as `--set name=value`.
"""

from training.config.base import RecipeConfig, TeacherConfig
from training.config.self_supervised import MaskedViewsConfig
from training.config.transfer import TransferPlusConfig
from training.config.values import as_dict, override, shared_config

__all__ = [
    "MaskedViewsConfig",
    "RecipeConfig",
    "TeacherConfig",
    "TransferPlusConfig",
    "as_dict",
    "override",
    "shared_config",
]
