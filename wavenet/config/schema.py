"""Settings: frozen dataclasses, read from TOML and checked once at the edge.

Importable with the standard library alone; pydantic is needed only to read a config from outside (`load`, `parse`).
A run folder and a checkpoint carry the whole `Config`, so no command repeats another command's flags.
"""

import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

from wavenet.config import dilations
from wavenet.errors import ConfigError


def _require(ok: bool, key: str, value: object, rule: str) -> None:
    if not ok:
        raise ConfigError(f"{key} = {value}: {rule}")


class _Checked:
    """Unknown keys are refused when pydantic builds one of these from a dict."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, float):
                _require(math.isfinite(value), f.name, value, "must be a finite number")


@dataclass(frozen=True)
class AudioConfig(_Checked):
    """How recordings become samples."""

    sample_rate: int = 16000  # Hz; recordings at other rates are resampled
    level: Literal["none", "peak"] = (
        "none"  # leave levels alone, or bring each recording's peak to peak_db
    )
    peak_db: float = -1.0  # dBFS, used by level = "peak"
    trim: bool = True  # cut silence at both ends of each recording
    trim_db: float = 50.0  # "silence" is this far below the recording's loudest 20 ms
    min_seconds: float = 0.1  # shorter recordings are skipped

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(
            1000 <= self.sample_rate <= 192_000,
            "audio.sample_rate",
            self.sample_rate,
            "must be 1000 to 192000 Hz",
        )
        _require(-60 <= self.peak_db <= 0, "audio.peak_db", self.peak_db, "must be -60 to 0 dBFS")
        _require(10 <= self.trim_db <= 120, "audio.trim_db", self.trim_db, "must be 10 to 120 dB")
        _require(
            0 < self.min_seconds <= 60,
            "audio.min_seconds",
            self.min_seconds,
            "must be above 0 and at most 60 s",
        )


@dataclass(frozen=True)
class ModelConfig(_Checked):
    """The network's sizes, in the field's terms."""

    layers: int = 30
    dilation_cycle: int = 512  # largest dilation before the growth starts again at 1
    growth: Literal["doubling", "fibonacci", "coprime"] = (
        "doubling"  # of dilations from layer to layer; see `schedules`
    )
    dilations: tuple[int, ...] | None = (
        None  # an explicit list; replaces layers, dilation_cycle and growth
    )
    kernel_size: int | tuple[int, ...] = (
        2  # taps per dilated convolution: one number, or one for each layer
    )
    layer: Literal["dense", "separable", "bottleneck", "hybrid"] = (
        "dense"  # kind of dilated convolution; see `layers`
    )
    groups: int = (
        1  # that a dense convolution's channels are divided into; each hears its own group alone
    )
    bottleneck_channels: int = (
        0  # that a bottleneck's dilated convolution works on; 0: a quarter of residual_channels
    )
    smooth: bool = False  # average what a convolution makes now and a sample ago, against the grid that dilations leave
    residual_channels: int = 64
    gate_channels: int = 128  # both halves: tanh and sigmoid
    skip_channels: int = 64
    context: Literal["none", "pyramid"] = (
        "none"  # before the head: what the skip sum was at other times; see `context`
    )
    pyramid_dilations: tuple[int, ...] = (1, 6, 12, 18)  # samples back that its branches hear
    pyramid_window: int = 256  # samples that its last branch hears the mean of
    head_channels: int = 64  # between the skip sum and the output
    output: Literal["mulaw", "logistic", "gaussian"] = (
        "mulaw"  # what is predicted: mu-law levels, or a mixture over 16-bit samples
    )
    levels: int = 256  # of the mu-law code, with output = "mulaw"
    mixtures: int = 10  # components, with output = "logistic" or "gaussian"
    label_channels: int = (
        0  # of the vector that stands for a label (a voice, a class); 0: the network is told none
    )
    labels: tuple[str, ...] = ()  # the labels it knows; found when training starts
    mel_bands: int = 0  # of the log-mel frames that the network follows; 0: it is given none
    mel_hop: int = 256  # samples from one frame to the next
    mel_window: int = 1024  # samples that a frame is computed from
    mel_low_hz: float = 0.0
    mel_high_hz: float = 8000.0
    mel_context: int = 2  # frames heard to each side of one
    mel_channels: int = 64  # what a frame and its context are condensed to

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(1 <= self.layers <= 1000, "model.layers", self.layers, "must be 1 to 1000")
        cycle = self.dilation_cycle
        doubles, what = (
            (cycle & (cycle - 1) == 0, "a power of two up to")
            if self.growth == "doubling"
            else (True, "1 to")
        )
        _require(
            1 <= cycle <= 2**20 and doubles, "model.dilation_cycle", cycle, f"must be {what} 2^20"
        )
        if self.dilations is not None:
            _require(
                1 <= len(self.dilations) <= 1000,
                "model.dilations",
                list(self.dilations),
                "must list 1 to 1000 dilations",
            )
            for d in self.dilations:
                _require(
                    1 <= d <= 2**20,
                    "model.dilations",
                    list(self.dilations),
                    f"{d} is not within 1 to 2^20",
                )
        for name in ("residual_channels", "gate_channels", "skip_channels", "head_channels"):
            value = getattr(self, name)
            _require(1 <= value <= 8192, f"model.{name}", value, "must be 1 to 8192")
        _require(
            self.gate_channels % 2 == 0,
            "model.gate_channels",
            self.gate_channels,
            "counts both halves, so it must be even",
        )
        levels = self.levels
        _require(
            16 <= levels <= 1024 and levels & (levels - 1) == 0,
            "model.levels",
            levels,
            "must be a power of two from 16 to 1024",
        )
        _require(
            1 <= self.mixtures <= 100,
            "model.mixtures",
            self.mixtures,
            "must be 1 to 100 components",
        )
        _require(
            0 <= self.label_channels <= 1024,
            "model.label_channels",
            self.label_channels,
            "must be 0 (no labels) to 1024",
        )
        _require(
            len(set(self.labels)) == len(self.labels),
            "model.labels",
            list(self.labels),
            "must all be different",
        )
        _require(
            not self.labels or self.label_channels > 0,
            "model.labels",
            list(self.labels),
            "needs model.label_channels above 0",
        )
        _require(
            0 <= self.mel_bands <= 512,
            "model.mel_bands",
            self.mel_bands,
            "must be 0 (no frames) to 512",
        )
        _require(
            16 <= self.mel_window <= 2**16,
            "model.mel_window",
            self.mel_window,
            "must be 16 to 65536 samples",
        )
        _require(
            1 <= self.mel_hop <= self.mel_window,
            "model.mel_hop",
            self.mel_hop,
            "must be 1 to model.mel_window samples",
        )
        _require(
            0 <= self.mel_low_hz < self.mel_high_hz,
            "model.mel_low_hz",
            self.mel_low_hz,
            "must be 0 to below model.mel_high_hz",
        )
        _require(
            0 <= self.mel_context <= 64,
            "model.mel_context",
            self.mel_context,
            "must be 0 to 64 frames",
        )
        _require(
            1 <= self.mel_channels <= 1024,
            "model.mel_channels",
            self.mel_channels,
            "must be 1 to 1024",
        )
        self._check_patterns()

    def _check_patterns(self) -> None:
        kernel, n, residual, half = (
            self.kernel_size,
            len(self.schedule),
            self.residual_channels,
            self.gate_channels // 2,
        )
        given = kernel if isinstance(kernel, int) else list(kernel)
        _require(
            len(self.kernel_sizes) == n,
            "model.kernel_size",
            given,
            f"must be one number, or one for each of {n} layers",
        )
        _require(
            all(2 <= k <= 64 for k in self.kernel_sizes),
            "model.kernel_size",
            given,
            "must be 2 to 64 taps",
        )
        groups, narrow = self.groups, self.bottleneck_channels
        _require(
            groups == 1 or self.layer == "dense",
            "model.groups",
            groups,
            'divides the convolution of model.layer = "dense" only',
        )
        divides = groups >= 1 and residual % groups == 0 and half % groups == 0
        _require(
            divides,
            "model.groups",
            groups,
            f"must divide {residual} residual channels and {half}, half the gate channels",
        )
        _require(
            0 <= narrow <= 8192,
            "model.bottleneck_channels",
            narrow,
            "must be 0 (a quarter of the residual channels) to 8192",
        )
        _require(
            not narrow or self.layer == "bottleneck",
            "model.bottleneck_channels",
            narrow,
            'is of model.layer = "bottleneck" only',
        )
        _require(
            self.layer != "hybrid" or half > 1,
            "model.gate_channels",
            self.gate_channels,
            "must be at least 4 for a hybrid layer",
        )
        branches, window = self.pyramid_dilations, self.pyramid_window
        fits = 1 <= len(branches) <= 16 and all(1 <= d <= 2**20 for d in branches)
        _require(
            fits,
            "model.pyramid_dilations",
            list(branches),
            "must list 1 to 16 dilations of 1 to 2^20",
        )
        _require(2 <= window <= 2**20, "model.pyramid_window", window, "must be 2 to 2^20 samples")
        wide, least = (
            self.context == "none" or self.skip_channels > len(branches),
            len(branches) + 1,
        )
        _require(
            wide,
            "model.skip_channels",
            self.skip_channels,
            f"must be at least {least}, one for each branch of the pyramid",
        )

    @property
    def schedule(self) -> tuple[int, ...]:
        """The dilation of every layer, in samples: growing from 1 and starting again after `dilation_cycle`, or `dilations`."""
        if self.dilations is not None:
            return self.dilations
        cycle = dilations.cycle(self.growth, self.dilation_cycle)
        return tuple(cycle[i % len(cycle)] for i in range(self.layers))

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Taps of every layer's kernel."""
        return (
            (self.kernel_size,) * len(self.schedule)
            if isinstance(self.kernel_size, int)
            else self.kernel_size
        )

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """The dilations in every layer: one, or in a hybrid layer that of the first half of its channels, and of the others."""
        return tuple((1, d) if self.layer == "hybrid" else (d,) for d in self.schedule)

    @property
    def offsets(self) -> tuple[tuple[int, ...], ...]:
        """How many samples back each tap of every layer hears, from the newest, 0, to the oldest."""
        return tuple(
            dilations.offsets(k, parts, self.smooth)
            for k, parts in zip(self.kernel_sizes, self.parts, strict=True)
        )

    @property
    def all_offsets(self) -> tuple[tuple[int, ...], ...]:
        """`offsets`, and last those of the context module, which hears what all layers made."""
        if self.context == "none":
            return self.offsets
        return (
            *self.offsets,
            tuple(sorted({*self.pyramid_dilations, *range(self.pyramid_window)})),
        )

    @property
    def context_lag(self) -> int:
        """Samples before the present that the context module hears of the skip sum."""
        return (
            0 if self.context == "none" else max(*self.pyramid_dilations, self.pyramid_window - 1)
        )

    @property
    def receptive_field(self) -> int:
        """Samples that one prediction hears."""
        return 1 + sum(taps[-1] for taps in self.offsets) + self.context_lag

    @property
    def plain(self) -> bool:
        """Whether every layer is an ordinary dilated convolution, and nothing stands between the skip sum and the head."""
        return (
            self.layer == "dense"
            and self.groups == 1
            and not self.smooth
            and self.context == "none"
        )

    @property
    def condition_channels(self) -> int:
        """Numbers per frame that every layer is told: what mel frames are condensed to, then the label's vector."""
        return (self.mel_channels if self.mel_bands else 0) + self.label_channels


@dataclass(frozen=True)
class TrainConfig(_Checked):
    """The training recipe."""

    steps: int = 20_000  # length of the schedule
    batch: int = 2  # windows per step
    accumulate: int = 1  # parts that a step's batch is computed in, one after the other: less memory, the same result
    checkpoint_layers: int = 0  # keep every Nth layer's input only and compute the rest again: less memory, more time; 0 keeps all
    precision: Literal["auto", "fp32", "bf16", "fp16"] = (
        "auto"  # of the products; auto is bf16 on GPUs that have it, else fp32
    )
    compile: bool = False  # let torch.compile fuse the passes over the gates
    augment_gain_db: float = 0.0  # each window up to so many dB louder or softer than recorded: small folders are learnt by heart later
    segment_seconds: float = (
        0.5  # predicted samples per window; the receptive field comes on top as context
    )
    learning_rate: float = 1e-2
    warmup_steps: int = 50
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.999  # of the weights' exponential average, reached gradually
    seed: int = 0
    validation: Literal["files", "tails"] = (
        "files"  # whole files held out, or the last tenth of each file over one second
    )
    validation_fraction: float = 0.1
    validation_seconds: float = 30.0  # at most this much audio is scored each time
    evaluate_every: int = 500  # steps between validation, a rendered sample and a checkpoint
    checkpoint_minutes: float = 5.0  # a checkpoint at least this often
    patience: int = (
        0  # end early when so many times evaluate_every steps brought nothing better; 0: never
    )
    keep_checkpoints: int = 3  # the last few; the best one is kept besides
    sample_seconds: float = 1.5  # length of the sample rendered at each evaluation; 0 renders none
    label_from: str = "folder"  # a recording's label: its "folder", a .csv of file,label, or a pattern with (?P<label>...) on its name

    def __post_init__(self) -> None:
        super().__post_init__()
        bounds: dict[str, tuple[float, float]] = {
            "steps": (1, 1e9),
            "batch": (1, 65536),
            "accumulate": (1, self.batch),
            "checkpoint_layers": (0, 1000),
            "augment_gain_db": (0, 40),
            "segment_seconds": (0.001, 60),
            "learning_rate": (1e-9, 10),
            "warmup_steps": (0, 1e9),
            "weight_decay": (0, 10),
            "clip_norm": (1e-6, 1e6),
            "average_decay": (0, 0.999999),
            "seed": (0, 2**63 - 1),
            "validation_fraction": (0.01, 0.5),
            "validation_seconds": (0.1, 1e6),
            "evaluate_every": (1, 1e9),
            "checkpoint_minutes": (0.01, 1e6),
            "patience": (0, 1e9),
            "keep_checkpoints": (1, 1000),
            "sample_seconds": (0, 60),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            _require(low <= value <= high, f"train.{name}", value, f"must be {low:g} to {high:g}")


@dataclass(frozen=True)
class Config(_Checked):
    """Everything a run is made from."""

    name: str = "custom"
    purpose: str = ""
    audio: AudioConfig = field(default_factory=AudioConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(
            re.fullmatch(r"\w[\w.-]*", self.name) is not None,
            "name",
            self.name,
            "must be letters, digits, dots and dashes",
        )
        highest, half = self.model.mel_high_hz, self.audio.sample_rate / 2
        _require(
            not self.model.mel_bands or highest <= half,
            "model.mel_high_hz",
            highest,
            f"must be at most {half:g}, half audio.sample_rate",
        )

    @property
    def trims(self) -> bool:
        """Whether ends are trimmed. `tails` never trims: its figures compare with those published for whole files."""
        return self.audio.trim and self.train.validation != "tails"

    @property
    def segment_samples(self) -> int:
        """Predicted samples per window: whole frames where the network follows mel frames."""
        hop = self.model.mel_hop if self.model.mel_bands else 1
        return max(1, round(self.train.segment_seconds * self.audio.sample_rate / hop)) * hop

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict as TOML and JSON can hold it; unset settings are left out."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def to_toml(self) -> str:
        import tomli_w

        return tomli_w.dumps(self.to_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
