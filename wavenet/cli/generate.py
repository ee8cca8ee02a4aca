"""`wavenet generate`: new audio, or the continuation of a recording.

It is written as it is generated, so that Ctrl-C and a full disk leave what there is.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import soundfile as sf

from wavenet.audio import reading, writing
from wavenet.engines.options import EngineOptions
from wavenet.errors import AudioError, EngineError
from wavenet.generation.api import load, samples_for
from wavenet.generation.prompt import read_prompt
from wavenet.generation.sampler import Sampler
from wavenet.model.distributions.base import Sampling
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar


@dataclass(frozen=True)
class GenerateOptions:
    """What the user asked `wavenet generate` for."""

    model: Path
    seconds: float
    # By default one, or one for each label.
    count: int | None
    prompt: Path | None
    keep_prompt: bool
    sampling: Sampling
    seed: int | None
    engine: str
    out: Path | None
    labels: tuple[str, ...] = ()
    options: EngineOptions = field(default_factory=EngineOptions)


def render(request: GenerateOptions) -> Iterator[str]:
    """Generate and write. Yields lines to print.

    Raises WavenetError for wrong options, before anything is written.
    """
    model = load(request.model)
    if request.keep_prompt and request.prompt is None:
        raise EngineError("--keep-prompt: there is no --prompt to keep")
    count = max(1, len(request.labels)) if request.count is None else request.count
    if count < len(request.labels):
        raise EngineError(
            f"--label: {len(request.labels)} labels for {count} clips; "
            "raise --count, or leave it out for one of each"
        )
    samples = samples_for(model, request.seconds)
    prompt = None if request.prompt is None else read_prompt(request.prompt, model)
    seed = secrets.randbelow(1_000_000) if request.seed is None else request.seed
    sampler = Sampler(
        model,
        seed=seed,
        count=count,
        sampling=request.sampling,
        engine=request.engine,
        options=request.options,
        prompt=prompt,
        labels=request.labels,
    )
    name = request.model.resolve().name if request.model.is_dir() else request.model.stem
    paths = numbered(request.out or Path(f"{name}-{seed}.wav"), count)
    if request.prompt is not None and request.prompt.resolve() in [p.resolve() for p in paths]:
        raise AudioError(f"{request.prompt}: is the prompt itself; choose another -o")
    rate = model.config.audio.sample_rate
    yield f"{sampler.engine.describe(count)}, checkpoint of step {model.training.step}, seed {seed}"
    with ExitStack() as open_files:
        files = [open_files.enter_context(writing.writer(path, rate)) for path in paths]
        prompt_samples = 0
        if request.keep_prompt and request.prompt is not None:
            for block in reading.read_blocks(request.prompt, rate):
                prompt_samples += len(block)
                for file in files:
                    file.write(block)
        written = _write_blocks(sampler, samples, files, rate)
    for i, path in enumerate(paths):
        line = f"{path}  {written / rate:.2f} s"
        if prompt_samples:
            line += f" after {prompt_samples / rate:.2f} s of prompt"
        if sampler.labels:
            line += f", {sampler.labels[i]}"
        yield line
    if written < samples:
        yield "interrupted: what was made until then is kept"


def _write_blocks(sampler: Sampler, samples: int, files: list[sf.SoundFile], rate: int) -> int:
    """Write every stream's blocks to its file, under a progress bar.

    Returns the samples written of each stream: fewer than `samples` after Ctrl-C.
    """
    written = 0
    started = time.monotonic()
    with bar(samples * len(files), layout=LAYOUT_WITHOUT_COUNT) as progress:
        try:
            for block in sampler.blocks(samples):
                for file, wav in zip(files, block, strict=True):
                    file.write(wav)
                written += block.shape[1]
                speed = written * len(files) / (time.monotonic() - started)
                progress.set_postfix_str(
                    f"{speed / 1000:.1f}k samples/s, {speed / rate:.2f} x real time", refresh=False
                )
                progress.update(block.size)
        except KeyboardInterrupt:
            pass
    return written


def numbered(path: Path, count: int) -> list[Path]:
    """out.wav for one clip; out-1.wav, out-2.wav, ... for several."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{i + 1}{path.suffix}") for i in range(count)]
