"""Settings: what there is to set, and where it is read from. The standard library alone is needed.

pydantic is imported when a config is read from outside (`loading`).
"""

from wavenet.config.schema import AudioConfig, Config, ModelConfig, TrainConfig

__all__ = ["AudioConfig", "Config", "ModelConfig", "TrainConfig"]
