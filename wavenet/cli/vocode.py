"""`wavenet vocode`: audio from mel frames, those of recordings or made elsewhere.

Several inputs are generated in one batch.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from wavenet.audio import writing
from wavenet.engines import create_engine
from wavenet.engines.options import EngineOptions
from wavenet.errors import AudioError, OutputError
from wavenet.generation.api import load
from wavenet.generation.mel_input import MelInput, require_frames
from wavenet.generation.sampler import Sampler, stream_labels
from wavenet.model.distributions.base import Sampling
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar

# Streams of a batch. More are no faster, and each takes memory.
MAX_STREAMS = 32


@dataclass(frozen=True)
class VocodeOptions:
    """What the user asked `wavenet vocode` for."""

    model: Path
    inputs: tuple[Path, ...]
    sampling: Sampling
    seed: int | None
    engine: str
    out: Path | None
    label: str | None = None
    options: EngineOptions = field(default_factory=EngineOptions)


def vocode(request: VocodeOptions) -> Iterator[str]:
    """Generate and write. Yields lines to print.

    Raises WavenetError for wrong options and inputs, before anything is written.
    """
    model = load(request.model)
    require_frames(model.config)
    labels = () if request.label is None else (request.label,)
    stream_labels(model.config.model.labels, labels, 1)
    paths = outputs(request.inputs, request.out)
    mel_inputs = [MelInput.read(path, model) for path in request.inputs]
    lengths = [mel_input.samples for mel_input in mel_inputs]
    seed = secrets.randbelow(1_000_000) if request.seed is None else request.seed
    engine = create_engine(request.engine, model.config.model, model.weights, request.options)

    def sampler_of(batch: Sequence[int]) -> Sampler:
        return Sampler(
            model,
            seed=seed,
            sampling=request.sampling,
            engine=engine,
            labels=labels,
            mel_inputs=[mel_inputs[i] for i in batch],
        )

    batches = _batches(lengths)
    # The first sampler refuses what does not fit, before anything is written.
    first = sampler_of(batches[0])
    engine_line = engine.describe(len(batches[0]))
    yield f"{engine_line}, checkpoint of step {model.training.step}, seed {seed}"
    _make_folder(paths)
    rate, written = model.config.audio.sample_rate, [0] * len(lengths)
    with bar(sum(lengths), layout=LAYOUT_WITHOUT_COUNT) as progress:
        started = time.monotonic()

        def advance(samples: int) -> None:
            speed = sum(written) / (time.monotonic() - started)
            progress.set_postfix_str(
                f"{speed / 1000:.1f}k samples/s, {speed / rate:.2f} x real time", refresh=False
            )
            progress.update(samples)

        try:
            for batch in batches:
                _write(
                    first if batch is batches[0] else sampler_of(batch),
                    batch,
                    lengths,
                    paths,
                    rate,
                    written,
                    advance,
                )
        except KeyboardInterrupt:
            pass
    for path, source, samples in zip(paths, request.inputs, written, strict=True):
        if samples:
            label = f", {request.label}" if request.label else ""
            yield f"{path}  {samples / rate:.2f} s, after {source}{label}"
    if sum(written) < sum(lengths):
        yield "interrupted: what was made until then is kept"


def _write(
    sampler: Sampler,
    batch: Sequence[int],
    lengths: Sequence[int],
    paths: Sequence[Path],
    rate: int,
    written: list[int],
    advance: Callable[[int], None],
) -> None:
    """Generate a batch of inputs, each into its file, counting the samples written of each."""
    with ExitStack() as open_files:
        files = [open_files.enter_context(writing.writer(paths[i], rate)) for i in batch]
        for blocks in sampler.variable_length_blocks([lengths[i] for i in batch]):
            for stream, wav in blocks:
                files[stream].write(wav)
                written[batch[stream]] += len(wav)
            advance(sum(len(wav) for _, wav in blocks))


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Which inputs to generate together: those of similar lengths.

    A batch takes as long as the longest of them.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[i : i + MAX_STREAMS] for i in range(0, len(order), MAX_STREAMS)]


def outputs(inputs: Sequence[Path], out: Path | None) -> list[Path]:
    """The path of each result: `out` itself, or for several inputs a file in a folder of that name.

    Raises AudioError.
    """
    if len(inputs) == 1 and not (out and out.is_dir()):
        paths = [out or Path(f"{inputs[0].stem}-vocoded.wav")]
        writing.check_writable(paths[0])
    else:
        folder = out or Path()
        if folder.suffix.lower() in writing.WRITABLE:
            raise AudioError(f"{folder}: is one file for {len(inputs)} inputs; name a folder")
        paths = [folder / f"{source.stem}-vocoded.wav" for source in inputs]
    if len(set(paths)) < len(paths):
        twice = next(p for p in paths if paths.count(p) > 1)
        raise AudioError(
            f"{twice}: would be written for two inputs of the same name; give them one at a time"
        )
    resolved_inputs = [source.resolve() for source in inputs]
    for path in paths:
        if path.resolve() in resolved_inputs:
            raise AudioError(f"{path}: is an input itself; choose another -o")
    return paths


def _make_folder(paths: Sequence[Path]) -> None:
    try:
        paths[0].parent.mkdir(exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"{paths[0].parent}: cannot be made ({e.strerror}); name a folder in an existing one"
        ) from None
