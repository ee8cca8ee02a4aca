"""What tests of several packages use: small seeded models, synthetic recordings, commands run."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
import soundfile as sf
import torch
from typer.testing import CliRunner, Result

from wavenet.cli.console import ConsoleReport
from wavenet.cli.main import app
from wavenet.config import AudioConfig, Config, ModelConfig
from wavenet.config.loading import parse_assignments
from wavenet.engines.conditioning import Projection
from wavenet.glossary import Array
from wavenet.model import locate
from wavenet.model.checkpoint import Model, Training
from wavenet.model.conditioning.carriers import Conditioning, ConditioningInput
from wavenet.model.conditioning.registry import frame_front_ends
from wavenet.model.conditioning.windows import frame_range
from wavenet.model.distributions.mixture_mass import MEAN_UNIT
from wavenet.model.network import WaveNet
from wavenet.training.run_folder import Run
from wavenet.training.session import train

SMALL = ModelConfig(
    layers=5,
    dilation_cycle=4,
    kernel_size=2,
    residual_channels=10,
    gate_channels=12,
    skip_channels=9,
    head_channels=7,
    levels=32,
)
VOICES = replace(SMALL, label_channels=3, labels=("ada", "bob", "cy"))
VOCODER = replace(
    SMALL,
    mel_bands=6,
    frame_hop=8,
    frame_window=32,
    mel_high_hz=4000.0,
    frame_context=1,
    frame_channels=5,
)
BOTH = replace(VOCODER, label_channels=2, labels=("ada", "bob"), frame_context=0)
CONDITIONED = {"labels": VOICES, "mel": VOCODER, "labels and mel": BOTH}
INSTRUMENT = replace(
    VOCODER, mel_bands=0, conditioning=("pitch",), pitch_low_hz=200.0, pitch_high_hz=800.0
)
EVERYTHING = replace(
    INSTRUMENT,
    mel_bands=4,
    conditioning=("mel", "label", "pitch", "loudness", "features", "segments"),
    label_channels=2,
    labels=("ada", "bob"),
    features_width=3,
    segment_labels=("one", "two"),
)
# A network for each kind of frames but mel, and one that follows all there is.
FOLLOWING = {
    "pitch": INSTRUMENT,
    "loudness": replace(INSTRUMENT, conditioning=("loudness",), frame_context=2),
    "features": replace(INSTRUMENT, conditioning=("features",), features_width=3),
    "segments": replace(INSTRUMENT, conditioning=("segments",), segment_labels=("one", "two")),
    "pitch and loudness": replace(INSTRUMENT, conditioning=("pitch", "loudness"), frame_context=0),
    "everything": EVERYTHING,
}
VARIANTS = {
    "a kernel for each layer": replace(SMALL, dilations=(1, 4, 2), kernel_size=(2, 4, 3)),
    "fibonacci": replace(SMALL, growth="fibonacci", dilation_cycle=9, layers=6),
    "coprime": replace(SMALL, growth="coprime", dilation_cycle=12, layers=7),
    "groups": replace(SMALL, groups=2, kernel_size=3),
    "separable": replace(SMALL, layer="separable", kernel_size=3),
    "bottleneck": replace(SMALL, layer="bottleneck", bottleneck_channels=4),
    "hybrid": replace(SMALL, layer="hybrid", gate_channels=14, kernel_size=(3, 2, 3, 2, 2)),
    "smooth": replace(SMALL, smooth=True, dilations=(1, 5, 12)),
    "pyramid": replace(SMALL, context="pyramid", pyramid_dilations=(1, 6, 9), pyramid_window=13),
    "smooth hybrid with a pyramid, conditioned": replace(
        BOTH,
        layer="hybrid",
        smooth=True,
        kernel_size=3,
        context="pyramid",
        pyramid_dilations=(2, 21),
        pyramid_window=7,
    ),
    "separable, conditioned": replace(
        VOICES, layer="separable", growth="coprime", dilation_cycle=7
    ),
}
# Samples of conditioned streams.
LONGEST = 1000
STARTER = Path(__file__).parent.parent / "data" / "starter"


# A row each of weight logits, means and log-scales, with a column for each component.
EXTREME_MIXTURES = {
    "random": np.random.default_rng(0).normal(0, [[1], [0.3], [1.5]], (3, 4)) - [[0], [0], [3]],
    "narrower than a step": np.array([[0, 1, 2, 3], [0.1, -0.9, 0.5, 1e-5], [-20] * 4]),
    "huge scales": np.array([[0, 0, 0, 0], [0.1, -0.9, 0.5, 0], [2, 5, 100, 1e4]]),
    "means far outside": np.array([[0, 0, 0, 0], [-3, 5, 1000, -1e6], [-20, -8, -3, 0]]),
    "one of no weight": np.array([[-1e5, 0, 0, 1e5], [0, 0.2, -0.2, 0.9], [-3, -5, -7, -9]]),
}

GOLDEN = Path(__file__).parent / "golden"
# The engines that run in an interpreter on this machine.
INTERPRETED: tuple[str, ...] = () if torch.cuda.is_available() else ("triton",)


def require_triton() -> None:
    """Skip the test where there is no Triton, or where its interpreter is older than NumPy is."""
    triton = pytest.importorskip("triton")
    old = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7)
    if INTERPRETED and old and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip(f"Triton {triton.__version__} cannot interpret with NumPy {np.__version__}")


def network(config: ModelConfig, seed: int = 0) -> WaveNet:
    """A network whose every weight and bias matters.

    Its predictions spread by about 2, and no path through it is near zero.
    """
    model = WaveNet(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
        if "features" in config.conditioning:
            for buffer in model.get_submodule("conditioner.features").buffers():
                # Statistics of features.
                buffer.add_(0.3 * torch.rand(buffer.shape, generator=generator))
        x = torch.randint(
            0, model.distribution.levels, (1, model.receptive_field + 200), generator=generator
        )
        params = model(x, some_inputs(config, 1, x.shape[1]))
        spread = (
            (params - model.output.bias).std() if model.distribution.scalar_input else params.std()
        )
        model.output.weight.mul_(2 / spread)
    return model.eval()


def some_codes(model: WaveNet, batch: int, more: int, seed: int = 0) -> torch.Tensor:
    """Random codes (batch, receptive field + more)."""
    shape, generator = (batch, model.receptive_field + more), torch.Generator().manual_seed(seed)
    return torch.randint(0, model.distribution.levels, shape, generator=generator)


def some_inputs(
    config: ModelConfig, batch: int, rows: int, offset: int = 3, seed: int = 0
) -> ConditioningInput | None:
    """Random input for every front end of a network, for `batch` windows of `rows` rows."""
    if not config.condition_channels:
        return None
    values = {}
    if config.labels:
        values["label"] = torch.arange(batch) % len(config.labels)
    if not config.follows_frames:
        return ConditioningInput(values)
    context, count = config.frame_context, (offset + rows - 1) // config.frame_spacing + 2
    for kind, frames in _some_frames(config, batch, count + 2 * context, seed).items():
        values[kind] = torch.from_numpy(frames)
    # The window begins a frame before its recording and ends one behind it.
    frame_ranges = torch.tensor([[-1, count - 3]]).expand(batch, -1)
    return ConditioningInput(values, frame_ranges, offset % config.frame_spacing)


def _some_frames(config: ModelConfig, batch: int, count: int, seed: int) -> dict[str, Array]:
    """Random frames (batch, count, columns) of all kinds that a network follows."""
    generator = np.random.default_rng(seed)
    kinds = frame_front_ends(config)
    # One after the other, so that a recording is the same however many there are.
    every = [{f.name: f.random_value(generator, count) for f in kinds} for _ in range(batch)]
    return {f.name: np.stack([values[f.name] for values in every]) for f in kinds}


def some_recordings(
    config: ModelConfig, batch: int, samples: int, seed: int = 0
) -> list[dict[str, Any]]:
    """A random value for every front end of each of `batch` recordings."""
    frames = _some_frames(config, batch, 1 + samples // config.frame_hop, seed)
    return [
        {kind: value[i] for kind, value in frames.items()}
        | ({"label": i % len(config.labels)} if config.labels else {})
        for i in range(batch)
    ]


def inputs_of(
    config: ModelConfig, recordings: list[dict[str, Any]], first: int, rows: int
) -> ConditioningInput | None:
    """The input of a window of each recording, whose first row predicts sample `first`."""
    if not config.condition_channels:
        return None
    values = {}
    if config.labels:
        values["label"] = torch.tensor([r["label"] for r in recordings])
    if not config.follows_frames:
        return ConditioningInput(values)
    low, high = frame_range(config, first, rows)
    low, high = low - config.frame_context, high + config.frame_context
    last = recordings[0][frame_front_ends(config)[0].name].shape[0] - 1
    number = torch.arange(low, high + 1).clamp(0, last)
    for kind in (f.name for f in frame_front_ends(config)):
        values[kind] = torch.stack([torch.from_numpy(r[kind])[number] for r in recordings])
    frame_ranges = torch.tensor([[low + config.frame_context, last]]).expand(len(recordings), -1)
    return ConditioningInput(values, frame_ranges, first % config.frame_spacing)


def mixture_params(curves: Array) -> Array:
    """What the network would predict: (..., 3, K) -> (..., 3 K).

    The rows of `curves` are weight logits, means in audio (-1 ... 1) and log-scales.
    """
    return (curves / [[1], [MEAN_UNIT], [1]]).reshape(*curves.shape[:-2], -1)


def arrays(model: WaveNet) -> dict[str, Array]:
    return {k: v.numpy() for k, v in model.state_dict().items()}


class StreamConditioning:
    """The conditioning of some streams, as engines and as the parallel forward pass take it.

    `conditioning` and `inputs` give None for a network without front ends.
    """

    def __init__(self, model: WaveNet, streams: Sequence[int]) -> None:
        self.config = model.config
        every = some_recordings(model.config, max(streams) + 1, LONGEST)
        self.recordings = [every[i] for i in streams]
        if self.config.condition_channels:
            self.projection = Projection(model.config, arrays(model))
            self.features = [self.projection.features(**r) for r in self.recordings]

    def conditioning(self, time: int, steps: int) -> Conditioning | None:
        if not self.config.condition_channels:
            return None
        return self.projection.conditioning(self.features, time, steps)

    def inputs(self, first: int, rows: int) -> ConditioningInput | None:
        return inputs_of(self.config, self.recordings, first, rows)


def as_checkpoint(model: WaveNet, sample_rate: int = 8000, step: int = 0) -> Model:
    config = Config(name="test", audio=AudioConfig(sample_rate=sample_rate), model=model.config)
    return Model(config, {f"average.{k}": v for k, v in arrays(model).items()}, Training(step=step))


def tone(seconds: float, rate: int = 8000, hertz: float = 200.0, amplitude: float = 0.4) -> Array:
    t = np.arange(round(seconds * rate)) / rate
    return amplitude * np.sin(2 * np.pi * hertz * t)


def noisy(seconds: float, rate: int = 8000, seed: int = 0, amplitude: float = 0.1) -> Array:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return np.clip(amplitude * noise, -1, 1)


def write_recordings(folder: Path, files: dict[str, Any], rate: int = 8000) -> Path:
    """Write recordings {"a.wav": wav, ...} into a folder, and return it."""
    for file, wav in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if file.lower().endswith(".wav"):
            # In floats and by SciPy, because libsndfile would stamp the time into the file.
            scipy.io.wavfile.write(folder / file, rate, np.asarray(wav, np.float32))
        else:
            sf.write(folder / file, wav, rate)
    return folder


def write_beside(folder: Path, model: ModelConfig, rate: int = 8000) -> Path:
    """Write features and segments beside each .wav of a folder, and return it."""
    for i, path in enumerate(sorted(folder.rglob("*.wav"))):
        samples = round(sf.info(path).duration * rate)
        generator = np.random.default_rng(i)
        features = generator.normal(2, 3, (1 + samples // model.frame_hop, model.features_width))
        np.save(path.with_suffix(".npy"), features.astype(np.float32))
        names = model.segment_labels or ("one", "two")
        # Quarters, of which the last one is silence.
        at = [k * samples / rate / 4 for k in range(4)]
        rows = [f"{at[k]},{at[k + 1]},{names[(i + k) % len(names)]}" for k in range(3)]
        path.with_suffix(".csv").write_text("\n".join(rows))
    return folder


def write_midi(
    path: Path, *tracks: Sequence[tuple[Any, ...]], ticks: int = 480, format: int = 1
) -> Path:
    """Write a MIDI file, and return it.

    A track has rows of (tick, channel from 1, pitch, velocity), of which velocity 0 ends a note,
    of (tick, microseconds of a quarter note), and of (tick, message) for any other.
    """
    import mido

    midi = mido.MidiFile(type=format, ticks_per_beat=ticks)
    for rows in tracks:
        track, now = midi.add_track(), 0
        for tick, *values in sorted(rows, key=lambda row: row[0]):
            if isinstance(values[0], mido.Message):
                message = values[0].copy(time=tick - now)
            elif len(values) == 1:
                message = mido.MetaMessage("set_tempo", tempo=values[0], time=tick - now)
            else:
                channel, pitch, velocity = values
                message = mido.Message(
                    "note_on", channel=channel - 1, note=pitch, velocity=velocity, time=tick - now
                )
            track.append(message)
            now = tick
    midi.save(path)
    return path


def last(run: Run) -> Model:
    """The last checkpoint of a run, with all that going on from it takes."""
    latest = locate.load_latest(run.checkpoints, resume=True)
    assert latest is not None
    return latest


def training_recordings() -> dict[str, Array]:
    """Six different recordings of 8 kHz, one of them shorter than a segment."""
    files = {
        f"{i}.wav": tone(1.2, hertz=150 + 40 * i) + noisy(1.2, seed=i, amplitude=0.02)
        for i in range(5)
    }
    return files | {"short.wav": tone(0.15, hertz=333)}


def wavenet(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="wavenet")


def fails(*args: object) -> str:
    """The one line that a wrong call ends with."""
    result = wavenet(*args)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("wavenet: "), result.stderr
    return line


def matches(printed: str, expected: str) -> bool:
    """Whether a printed text is the expected one, in which ... stands for anything on a line."""
    return bool(re.fullmatch(re.escape(expected).replace(re.escape("..."), ".*"), printed))


@contextmanager
def files_up_to(kilobytes: int) -> Iterator[None]:
    """Let no file of this process and its children grow beyond a size, as a full disk does."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000 * kilobytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sorted(sys.modules)))"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(result.stdout.split())


class Notes(ConsoleReport):
    """What the terminal would show of a training."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def _show(self, text: str, show: Callable[[str], None]) -> None:
        self.notes.append(text)


def train_run(
    folder: Path | None, out: Path | None, *settings: str, **more: Any
) -> tuple[Run, str]:
    """Start or resume a run, with the keywords of `train`; returns it and what was noted."""
    console = Notes()
    try:
        run = train(
            folder, out=out, overrides=parse_assignments(settings), listeners=[console], **more
        )
    finally:
        console.close()
    return run, "\n".join(console.notes)
