"""Settings: their schema, and how YAML becomes one."""

from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.load import CONFIG_FOLDER, REPOSITORY, dump_config, find_config, load_config
from x3d_det.config.schema import DatasetConfig, ExperimentConfig, SplitConfig

__all__ = [
    "CONFIG_FOLDER",
    "REPOSITORY",
    "DatasetConfig",
    "ExperimentConfig",
    "KineticsConfig",
    "SplitConfig",
    "dump_config",
    "find_config",
    "load_config",
]
