"""Configuration: one frozen dataclass per recipe, saved with resolved values in the checkpoint.

Every value can be set on the command line by `--set name=value`.
"""

from training.config.base import RecipeConfig, TeacherConfig
from training.config.baseline import BaselineConfig
from training.config.contrast import ContrastConfig, shorter_widths
from training.config.distillation import (
    KdFeatureConfig,
    KdPseudoLabelConfig,
    KdRkdConfig,
    KdSoftConfig,
)
from training.config.file import FitFile, read_fit_file
from training.config.self_supervised import (
    MaskedViewsConfig,
    MlmConfig,
    PtumConfig,
    SelfSupervisedConfig,
    SimcseConfig,
)
from training.config.transfer import TransferConfig, TransferPlusConfig
from training.config.values import as_dict, override, shared_config, with_choices

__all__ = [
    "BaselineConfig",
    "ContrastConfig",
    "FitFile",
    "KdFeatureConfig",
    "KdPseudoLabelConfig",
    "KdRkdConfig",
    "KdSoftConfig",
    "MaskedViewsConfig",
    "MlmConfig",
    "PtumConfig",
    "RecipeConfig",
    "SelfSupervisedConfig",
    "SimcseConfig",
    "TeacherConfig",
    "TransferConfig",
    "TransferPlusConfig",
    "as_dict",
    "override",
    "read_fit_file",
    "shared_config",
    "shorter_widths",
    "with_choices",
]
