"""Settings: what there is to set, and where it is read from.

The standard library alone is needed; `loading` imports pydantic to read a config from outside.
"""

from wavenet.config.audio import AudioConfig
from wavenet.config.model import ModelConfig
from wavenet.config.schema import Config
from wavenet.config.train import TrainConfig

__all__ = ["AudioConfig", "Config", "ModelConfig", "TrainConfig"]
