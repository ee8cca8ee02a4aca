"""`wavenet vocode`: recordings said again from their mel frames, or audio from frames made elsewhere; several at once."""

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
from wavenet.generation.mel_input import MelInput, read_mel_input, require_frames
from wavenet.generation.sampler import Sampler, stream_labels
from wavenet.model.distributions.base import Sampling
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar

AT_ONCE = 32  # streams; more are no faster, and each takes memory


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
    """Follow and write. Yields lines to print. Raises WavenetError before anything is written when something is wrong."""
    model = load(request.model)
    require_frames(model.config)
    labels = () if request.label is None else (request.label,)
    stream_labels(model.config.model.labels, labels, 1)
    paths = outputs(request.inputs, request.out)
    guides = [read_mel_input(path, model) for path in request.inputs]
    seed = secrets.randbelow(1_000_000) if request.seed is None else request.seed
    engine = create_engine(request.engine, model.config.model, model.weights, request.options)

    def sampler(some: Sequence[int]) -> Sampler:
        return Sampler(
            model,
            seed=seed,
            sampling=request.sampling,
            engine=engine,
            labels=labels,
            guides=[guides[i] for i in some],
        )

    groups = _groups(guides)
    first = sampler(groups[0])  # refuses what does not fit
    yield f"{engine.describe(len(groups[0]))}, checkpoint of step {model.training.step}, seed {seed}"
    _make_folder(paths)
    rate, made = model.config.audio.sample_rate, [0] * len(guides)
    with bar(sum(g.samples for g in guides), layout=LAYOUT_WITHOUT_COUNT) as progress:
        started = time.monotonic()

        def advance(samples: int) -> None:
            speed = sum(made) / (time.monotonic() - started)
            progress.set_postfix_str(
                f"{speed / 1000:.1f}k samples/s, {speed / rate:.2f} x real time", refresh=False
            )
            progress.update(samples)

        try:
            for some in groups:
                _write(
                    first if some is groups[0] else sampler(some),
                    some,
                    [g.samples for g in guides],
                    paths,
                    rate,
                    made,
                    advance,
                )
        except KeyboardInterrupt:
            pass
    for path, source, samples in zip(paths, request.inputs, made, strict=True):
        if samples:
            yield f"{path}  {samples / rate:.2f} s, after {source}" + (
                f", {request.label}" if request.label else ""
            )
    if sum(made) < sum(g.samples for g in guides):
        yield "interrupted: what was made until then is kept"


def _write(
    sampler: Sampler,
    some: Sequence[int],
    lengths: Sequence[int],
    paths: Sequence[Path],
    rate: int,
    made: list[int],
    advance: Callable[[int], None],
) -> None:
    """Make some of the recordings, each into its file, counting what was made of each."""
    with ExitStack() as open_files:
        files = [open_files.enter_context(writing.writer(paths[i], rate)) for i in some]
        for blocks in sampler.variable_length_blocks([lengths[i] for i in some]):
            for stream, wav in blocks:
                files[stream].write(wav)
                made[some[stream]] += len(wav)
            advance(sum(len(wav) for _, wav in blocks))


def _groups(guides: Sequence[MelInput]) -> list[list[int]]:
    """Which recordings to make at once: those of similar lengths, since the longest decides how long a batch takes."""
    order = sorted(range(len(guides)), key=lambda i: -guides[i].samples)
    return [order[i : i + AT_ONCE] for i in range(0, len(order), AT_ONCE)]


def outputs(inputs: Sequence[Path], out: Path | None) -> list[Path]:
    """Where each result goes: to `out` itself, or for several inputs into a folder of that name. Raises AudioError."""
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
    if written := [p for p in paths if p.resolve() in [s.resolve() for s in inputs]]:
        raise AudioError(f"{written[0]}: is an input itself; choose another -o")
    return paths


def _make_folder(paths: Sequence[Path]) -> None:
    try:
        paths[0].parent.mkdir(exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"{paths[0].parent}: cannot be made ({e.strerror}); name a folder in an existing one"
        ) from None
