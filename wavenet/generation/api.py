"""New audio from Python in one call: load, generate, vocode."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wavenet.engines.options import EngineOptions
from wavenet.errors import UsageError
from wavenet.generation.mel_input import MelInput
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler
from wavenet.glossary import Wav
from wavenet.model import checkpoint, locate
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.distributions.base import Sampling


def load(source: str | Path) -> Checkpoint:
    """A trained model from a run folder (its best checkpoint), a checkpoint file, or by name.

    Models that come with the program have names, such as `demo-voice`. Raises CheckpointError.
    """
    return checkpoint.load(locate.find(Path(source)))


def generate(
    model: Checkpoint,
    seconds: float = 2.0,
    seed: int = 0,
    *,
    count: int = 1,
    prompt: str | Path | None = None,
    label: str | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Wav:
    """New audio in -1 ... 1 at `model.config.audio.sample_rate`.

    float32 (time,), or (count, time) when count is above 1. The same seed gives the same audio,
    and clip i of a seed is the same whatever the count.

        seconds       length of each clip: above 0, at most 86,400 (a day)
        seed          0 to 2^64 - 1
        count         clips that are made side by side: 1 to 10,000
        prompt        a recording to continue, which is not part of the result
        label         one of `model.config.model.labels`; without it clips take them in turn
        temperature   0 to 100: below 1 surer and duller, 1 as the model is, above 1 wilder
        top_k, top_p  draw from the likeliest mu-law levels only: see `Sampling`
        engine        "auto", or one of `wavenet.engines.ENGINES`
        precision     "auto" is "bf16", weights that are rounded to half their size, for speed;
                      "fp32" leaves them as they were trained
        threads       the most that may be used; 0 for as many as help

    Raises WavenetError for what cannot be done: UsageError for a value, AudioError for a prompt,
    EngineError for an engine.
    """
    samples = samples_for(model, seconds)
    sampler = Sampler(
        model,
        seed=seed,
        count=count,
        sampling=Sampling(temperature, top_k, top_p),
        engine=engine,
        options=EngineOptions(precision, threads),
        prompt=None if prompt is None else read_prompt(Path(prompt), model),
        labels=() if label is None else (label,),
    )
    wavs = sampler.collect([samples] * count)
    return wavs[0] if count == 1 else np.stack(wavs)


def samples_for(model: Checkpoint, seconds: float) -> int:
    """A length in samples. Raises UsageError unless it is at least one and at most a day."""
    samples = round(seconds * model.config.audio.sample_rate) if 0 < seconds <= 86_400 else 0
    if samples < 1:
        raise UsageError("seconds", f"{seconds:g}", "must be above 0 and at most 86400 (a day)")
    return samples


def vocode(
    model: Checkpoint,
    wav_or_frames: Wav | Sequence[Wav],
    seed: int = 0,
    *,
    label: str | None = None,
    mel_scale: str = "ln",
    mel_offset: int = 0,
    temperature: float = 1.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Wav | list[Wav]:
    """A recording (time,) in -1 ... 1 at the model's rate, resynthesised from its mel frames.

    Or audio for log-mel frames (n, bands), (bands, n) or a batch of one of them, of which each
    stands for `model.config.model.mel_hop` samples. The result is float32 (time,), and as long.
    Several, as a list, are made at once, whatever their lengths, and give a list; each comes out as
    it would alone. A model that also knows labels needs a `label`.

        mel_scale     what the numbers of frames are: "ln", natural logarithms of mel magnitudes;
                      "log10", "db", "log1p" or "linear"; or of power "ln-power", "log10-power",
                      "db-power" or "power"
        mel_offset    the sample that the first frame is centred on, -`mel_window` to `mel_window`:
                      0 as librosa has it, half a hop as HiFi-GAN has it

    The other arguments are those of `generate`.

    Raises WavenetError: EngineError for a model that follows no frames, or for frames that look
    like those of another scale; AudioError for a recording that holds no finite floats.
    """
    several = isinstance(wav_or_frames, list | tuple)
    sources = [np.asarray(s) for s in (wav_or_frames if several else [wav_or_frames])]
    if not sources:
        return []
    mel_inputs = [
        MelInput.from_audio(source, model, "wav")
        if source.ndim == 1
        else MelInput.from_frames(source, model, "frames", mel_scale, mel_offset)
        for source in sources
    ]
    sampler = Sampler(
        model,
        seed=seed,
        sampling=Sampling(temperature),
        engine=engine,
        options=EngineOptions(precision, threads),
        labels=() if label is None else (label,),
        mel_inputs=mel_inputs,
    )
    wavs = sampler.collect([mel_input.samples for mel_input in mel_inputs])
    return wavs if several else wavs[0]
