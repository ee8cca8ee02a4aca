"""New audio from Python in one call: load, generate, vocode."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import numpy as np

from wavenet.audio.arrays import as_array
from wavenet.audio.mel_files import MelFormat
from wavenet.audio.playable import Audio
from wavenet.engines.options import EngineOptions
from wavenet.errors import UsageError
from wavenet.generation import mel_frames
from wavenet.generation.conditions import Conditions
from wavenet.generation.prompt import Prompt, read_prompt
from wavenet.generation.provenance import model_name, synthetic_tags
from wavenet.generation.sampler import Sampler
from wavenet.glossary import AudioInput, Number
from wavenet.model import checkpoint, locate
from wavenet.model.arguments import require_number
from wavenet.model.checkpoint import Model
from wavenet.model.distributions.base import Sampling
from wavenet.system.files import given_path


def load(source: str | Path) -> Model:
    """A trained model from a run folder (its best checkpoint), a checkpoint file, or by name.

    Models that come with the program have names, such as `demo-voice`. Raises CheckpointError, and
    UsageError for what is no path.

    >>> import wavenet
    >>> model = wavenet.load("demo-voice")
    >>> model.sample_rate
    16000
    """
    path = given_path("source", source)
    return replace(checkpoint.load(locate.find(path)), name=model_name(path))


def as_model(model: Model | str | Path) -> Model:
    """A model, or the one that a path or a name means. Raises UsageError and CheckpointError."""
    if isinstance(model, str | Path):
        return load(model)
    if not isinstance(model, Model):
        reason = f"is a {type(model).__name__}, not a trained model"
        advice = "wavenet.Model.from_network makes one of a network, wavenet.load reads one"
        raise UsageError("model", None, reason, advice)
    return model


def generate(
    model: Model | str | Path,
    seconds: Number = 2.0,
    seed: int | None = 0,
    *,
    count: int = 1,
    prompt: AudioInput | Prompt | None = None,
    label: str | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Audio:
    """New audio in -1 ... 1 at the model's sample rate, which plays in a notebook.

    float32 (time,), or (count, time) when count is above 1. The same seed gives the same audio,
    and clip i of a seed is the same whatever the count.

        model         a model, or what `load` takes: a run, a checkpoint file, a name
        seconds       length of each clip: above 0, at most 86,400 (a day)
        seed          0 to 2^64 - 1; None draws a new one, which is the result's `seed`
        count         clips that are made side by side: 1 to 10,000
        prompt        a recording to continue, which is not part of the result: a file, a wav
                      (time,) at the model's rate, or (wav, rate)
        label         one of `model.config.model.labels`; without it clips take them in turn
        temperature   0 to 100: below 1 surer and duller, 1 as the model is, above 1 wilder
        top_k, top_p  draw from the likeliest mu-law levels only: see `Sampling`
        engine        "auto", or one of `wavenet.engines.ENGINES`
        precision     "auto" is "bf16", weights that are rounded to half their size, for speed;
                      "fp32" leaves them as they were trained
        threads       the most that may be used; 0 for as many as help

    The first call on a machine compiles, which takes some ten seconds.

    Raises WavenetError for what cannot be done: UsageError for a value, AudioError for a prompt,
    EngineError for an engine.

    >>> import wavenet
    >>> wav = wavenet.generate("demo-voice", seconds=0.1, seed=7)
    >>> wav
    <wavenet.Audio: 0.10 s at 16000 Hz, seed 7>
    >>> wavenet.generate("demo-voice", seconds=0.1, seed=7, prompt=wav, count=2).shape
    (2, 1600)
    """
    model = as_model(model)
    samples, seed = samples_for(model, seconds), given_or_new(seed)
    if prompt is not None and not isinstance(prompt, Prompt):
        prompt = read_prompt(prompt, model)
    sampler = Sampler(
        model,
        seed=seed,
        count=count,
        sampling=Sampling(temperature, top_k, top_p),
        engine=engine,
        options=EngineOptions(precision, threads),
        prompt=prompt,
        labels=() if label is None else (label,),
    )
    wavs = sampler.collect([samples] * count)
    tags = [synthetic_tags(model.name, model, seed, clip=i + 1) for i in range(count)]
    wav = wavs[0] if count == 1 else np.stack(wavs)
    return Audio(wav, model.sample_rate, seed=seed, tags=tags)


def given_or_new(seed: int | None) -> int:
    """The seed that the user gave, or a new one, short enough to type again."""
    return secrets.randbelow(1_000_000) if seed is None else seed


def samples_for(model: Model, seconds: Number) -> int:
    """A length in samples. Raises UsageError unless it is at least one and at most a day."""
    require_number("seconds", seconds)
    samples = round(float(seconds) * model.config.audio.sample_rate) if 0 < seconds <= 86_400 else 0
    if samples < 1:
        raise UsageError("seconds", f"{seconds:g}", "must be above 0 and at most 86400 (a day)")
    return samples


class _How(TypedDict, total=False):
    label: str | None
    mel_scale: str
    mel_offset: int
    mel_range: tuple[float, float] | None
    temperature: float
    engine: str
    precision: str
    threads: int


# A text is a sequence too, of texts: the first of the two counts.
@overload
def vocode(  # type: ignore[overload-overlap]
    model: Model | str | Path,
    wav_or_frames: AudioInput,
    seed: int | None = 0,
    **how: Unpack[_How],
) -> Audio: ...
@overload
def vocode(
    model: Model | str | Path,
    wav_or_frames: Sequence[AudioInput],
    seed: int | None = 0,
    **how: Unpack[_How],
) -> list[Audio]: ...
def vocode(
    model: Model | str | Path,
    wav_or_frames: AudioInput | Sequence[AudioInput],
    seed: int | None = 0,
    *,
    label: str | None = None,
    mel_scale: str = "ln",
    mel_offset: int = 0,
    mel_range: tuple[float, float] | None = None,
    temperature: float = 1.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Audio | list[Audio]:
    """A recording resynthesised from its mel frames: a wav (time,) at the model's rate.

    It is such a wav in -1 ... 1, or (wav, rate), or a file. Or it is audio for log-mel frames
    (n, bands), (bands, n) or a batch of one of them, or a .npy file of these, of which each stands
    for `model.config.model.frame_hop` samples. The result is float32 (time,), and as long. Several,
    as a list, are made at once, whatever their lengths, and give a list; each comes out as it would
    alone. A model that also knows labels needs a `label`.

        mel_scale     what the numbers of frames are: "ln", natural logarithms of mel magnitudes;
                      "log10", "db", "log1p" or "linear"; or of power "ln-power", "log10-power",
                      "db-power" or "power"
        mel_offset    the sample that the first frame is centred on, -`frame_window` to
                      `frame_window`: 0 as librosa has it, half a hop as HiFi-GAN has it
        mel_range     where the bands begin and end, in Hz, where that is not as in the model

    The other arguments are those of `generate`.

    Raises WavenetError: EngineError for a model that follows no frames, or for frames that look
    like those of another scale; AudioError for a recording that holds no finite floats.

    >>> import numpy as np, wavenet
    >>> config = wavenet.ModelConfig(layers=4, mel_bands=20, frame_hop=80, frame_window=320)
    >>> vocoder = wavenet.Model.from_network(wavenet.WaveNet(config))
    >>> frames = np.random.default_rng(0).normal(-5, 2, (10, 20))  # (n, bands)
    >>> wavenet.vocode(vocoder, frames).shape
    (800,)
    """
    model, seed = as_model(model), given_or_new(seed)
    made = MelFormat(mel_scale, mel_offset, mel_range)
    mel_frames.frame_format(model, made)
    several = isinstance(wav_or_frames, list)
    sources: Any = wav_or_frames if several else [wav_or_frames]
    if not sources:
        return []
    conditions = [
        _conditions(source, f"wav_or_frames[{i}]" if several else "wav_or_frames", model, made)
        for i, source in enumerate(sources)
    ]
    sampler = Sampler(
        model,
        seed=seed,
        sampling=Sampling(temperature),
        engine=engine,
        options=EngineOptions(precision, threads),
        labels=() if label is None else (label,),
        conditions=conditions,
    )
    tags = [synthetic_tags(model.name, model, seed, made_from="mel frames")]
    wavs = [
        Audio(wav, model.sample_rate, seed=seed, tags=tags)
        for wav in sampler.collect([each.samples for each in conditions])
    ]
    return wavs if several else wavs[0]


def _conditions(source: Any, parameter: str, model: Model, made: MelFormat) -> Conditions:
    if isinstance(source, str | Path):
        return mel_frames.read(given_path(parameter, source), model, made)
    if isinstance(source, tuple) or as_array(source).ndim < 2:
        return Conditions.from_audio(source, model, f"`{parameter}`")
    name = f"`{parameter}`"
    return mel_frames.from_frames(as_array(source), model, name, made)
