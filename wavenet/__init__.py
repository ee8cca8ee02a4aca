"""Train a WaveNet on your own recordings and hear it.

    import wavenet
    model = wavenet.load("demo-voice")                   # or a run, or a checkpoint file
    wav = wavenet.generate(model, seconds=2, seed=7)     # plays in a notebook
    wav.save("new.wav")
    model = wavenet.train("recordings", "tiny", minutes=10)

What there is, by subject; `help(wavenet.generate)` explains one of them.

Hear, score and train models

    load            a trained model: a run, a checkpoint file, or one that comes with the program
    generate        new audio, or the continuation of a recording
    vocode          audio for mel frames, or for those of a recording
    play            audio for pitch and loudness, notes, segments or features
    score           bits per sample of recordings under a model: a Score
    train           a model of recordings
    Model           a trained model: its config, weights and history; save, network, from_network
    Audio           a NumPy array that plays in a notebook; save

Stream, and drive an engine

    Sampler         blocks of audio of one stream or several, as they are asked for
    Sampling        how to draw: temperature, top_k, top_p
    read_prompt     a recording to begin with, as a Prompt
    read_source     what to follow: pitch and loudness, segments or features, as Conditions
    create_engine   what generates sample by sample, the fastest that runs here
    EngineOptions   its precision and threads

Networks in PyTorch

    WaveNet         codes -> what is predicted for each sample
    WaveNetStack    the gated, dilated layers alone, for a module of your own
    Categorical, LogisticMixture, GaussianMixture
                    what a network predicts: codes of audio, the loss, draws
    receptive_field samples that a stack of dilated layers hears

Settings

    load_config     the Config of a preset or a TOML file; preset_names lists the presets
    Config          all settings: an AudioConfig, a ModelConfig and a TrainConfig

Errors are a WavenetError each. Nothing heavy is imported until it is used; generating on a CPU
never imports torch. More: docs/python-api.md.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wavenet.system.notebooks import accept_missing_widgets
from wavenet.system.user_folders import provide_caches
from wavenet.version import __version__ as __version__

if TYPE_CHECKING:
    from wavenet.audio.playable import Audio
    from wavenet.config import AudioConfig, Config, ModelConfig, TrainConfig
    from wavenet.config.loading import load_config, preset_names
    from wavenet.engines import create_engine
    from wavenet.engines.options import EngineOptions
    from wavenet.errors import WavenetError
    from wavenet.evaluation.api import score
    from wavenet.evaluation.likelihood import Score
    from wavenet.generation.api import generate, load, vocode
    from wavenet.generation.play import play, read_source
    from wavenet.generation.prompt import Prompt, read_prompt
    from wavenet.generation.sampler import Sampler
    from wavenet.model.checkpoint import Model
    from wavenet.model.cost import receptive_field
    from wavenet.model.distributions.base import Sampling
    from wavenet.model.distributions.categorical import Categorical
    from wavenet.model.distributions.mixture import GaussianMixture, LogisticMixture
    from wavenet.model.network import WaveNet, WaveNetStack
    from wavenet.training.api import train

    pick, Checkpoint = create_engine, Model

provide_caches()
accept_missing_widgets()

# The module of each name.
_HOME = {
    "Audio": "audio.playable",
    "AudioConfig": "config",
    "Categorical": "model.distributions.categorical",
    "Config": "config",
    "EngineOptions": "engines.options",
    "GaussianMixture": "model.distributions.mixture",
    "LogisticMixture": "model.distributions.mixture",
    "Model": "model.checkpoint",
    "ModelConfig": "config",
    "Prompt": "generation.prompt",
    "Sampler": "generation.sampler",
    "Sampling": "model.distributions.base",
    "Score": "evaluation.likelihood",
    "TrainConfig": "config",
    "WaveNet": "model.network",
    "WaveNetStack": "model.network",
    "WavenetError": "errors",
    "create_engine": "engines",
    "generate": "generation.api",
    "load": "generation.api",
    "load_config": "config.loading",
    "play": "generation.play",
    "preset_names": "config.loading",
    "read_prompt": "generation.prompt",
    "read_source": "generation.play",
    "receptive_field": "model.cost",
    "score": "evaluation.api",
    "train": "training.api",
    "vocode": "generation.api",
}
# Names that the library went by before. They still work, with a DeprecationWarning.
_FORMER = {"Checkpoint": "Model", "pick": "create_engine"}

__all__ = [
    "Audio",
    "AudioConfig",
    "Categorical",
    "Config",
    "EngineOptions",
    "GaussianMixture",
    "LogisticMixture",
    "Model",
    "ModelConfig",
    "Prompt",
    "Sampler",
    "Sampling",
    "Score",
    "TrainConfig",
    "WaveNet",
    "WaveNetStack",
    "WavenetError",
    "create_engine",
    "generate",
    "load",
    "load_config",
    "play",
    "preset_names",
    "read_prompt",
    "read_source",
    "receptive_field",
    "score",
    "train",
    "vocode",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


# Hidden from type checkers, which would take any name at all to be there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        current = _FORMER.get(name, name)
        if current not in _HOME:
            raise AttributeError(f"module 'wavenet' has no attribute {name!r}")
        if current != name:
            message = f"wavenet.{name} is called wavenet.{current} now"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(import_module(f"wavenet.{_HOME[current]}"), current)
