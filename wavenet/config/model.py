"""The settings of [model]: a network's sizes, and what follows from them by arithmetic.

One that is renamed or goes away is entered in `legacy`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from wavenet.arithmetic import is_power_of_two
from wavenet.config import dilations
from wavenet.config.checks import Checked, ranged


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The network's sizes, in the field's terms."""

    section: ClassVar[str] = "model"

    layers: int = ranged(30, 1, 1000)

    # Dilations grow from layer to layer up to the largest, then start again at 1; see
    # `wavenet.config.dilations`.
    dilation_cycle: int = 512
    growth: Literal["doubling", "fibonacci", "coprime"] = "doubling"

    # An explicit list, one per layer. It replaces layers, dilation_cycle and growth.
    dilations: tuple[int, ...] | None = None

    # Taps of the dilated convolutions: one number, or one for each layer.
    kernel_size: int | tuple[int, ...] = 2

    # Kind of dilated convolution; see `wavenet.model.patterns`.
    layer: Literal["dense", "separable", "bottleneck", "hybrid"] = "dense"

    # Groups that a dense convolution's channels are divided into. Each reads its own channels only.
    groups: int = 1

    # Channels of a bottleneck layer's dilated convolution; 0 is a quarter of residual_channels.
    bottleneck_channels: int = ranged(0, 0, 8192, zero="a quarter of the residual channels")

    # Average what a convolution makes now and a sample ago, against the grid that dilations leave.
    smooth: bool = False

    residual_channels: int = ranged(64, 1, 8192)
    gate_channels: int = ranged(128, 1, 8192)  # both halves: tanh and sigmoid
    skip_channels: int = ranged(64, 1, 8192)

    # A module before the head that also reads the skip sum at earlier samples; see
    # `wavenet.model.patterns.pyramid_pooling`. Its branches read it at these dilations, and its
    # last branch reads the mean over a window of samples.
    context: Literal["none", "pyramid"] = "none"
    pyramid_dilations: tuple[int, ...] = (1, 6, 12, 18)
    pyramid_window: int = ranged(256, 2, 2**20, "samples")

    # Between the skip sum and the output.
    head_channels: int = ranged(64, 1, 8192)

    # What is predicted: mu-law levels, or a mixture over 16-bit samples.
    output: Literal["mulaw", "logistic", "gaussian"] = "mulaw"
    levels: int = 256  # with output = "mulaw"
    mixtures: int = ranged(10, 1, 100, "components")  # components, with the others

    # Channels of the embedding of a label (a voice, a class). 0: the network knows no labels.
    label_channels: int = ranged(0, 0, 1024, zero="no labels")

    # The labels that the network knows, collected from the recordings when training starts.
    labels: tuple[str, ...] = ()

    # Bands of the log-mel frames that the network is conditioned on. 0: on none.
    mel_bands: int = ranged(0, 0, 512, zero="no frames")
    mel_hop: int = 256  # samples between frames
    mel_window: int = ranged(1024, 16, 2**16, "samples")  # samples that a frame covers
    mel_low_hz: float = 0.0
    mel_high_hz: float = 8000.0

    # Each frame and this many to each side of it are condensed to mel_channels.
    mel_context: int = ranged(2, 0, 64, "frames")
    mel_channels: int = ranged(64, 1, 1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        cycle, doubling = self.dilation_cycle, self.growth == "doubling"
        fits = 1 <= cycle <= 2**20 and (not doubling or is_power_of_two(cycle))
        rule = f"must be {'a power of two up to' if doubling else '1 to'} 2^20"
        self.require(fits, "dilation_cycle", rule)
        listed = self.dilations is None or 1 <= len(self.dilations) <= 1000
        self.require(listed, "dilations", "must list 1 to 1000 dilations")
        for d in self.dilations or ():
            self.require(1 <= d <= 2**20, "dilations", f"{d} is not within 1 to 2^20")
        even = self.gate_channels % 2 == 0
        self.require(even, "gate_channels", "counts both halves, so it must be even")
        fits = 16 <= self.levels <= 1024 and is_power_of_two(self.levels)
        self.require(fits, "levels", "must be a power of two from 16 to 1024")
        self.require(len({*self.labels}) == len(self.labels), "labels", "must all be different")
        embedded = not self.labels or self.label_channels > 0
        self.require(embedded, "labels", "needs model.label_channels above 0")
        fits = 1 <= self.mel_hop <= self.mel_window
        self.require(fits, "mel_hop", "must be 1 to model.mel_window samples")
        below = 0 <= self.mel_low_hz < self.mel_high_hz
        self.require(below, "mel_low_hz", "must be 0 to below model.mel_high_hz")
        self._check_patterns()

    def _check_patterns(self) -> None:
        """What the kinds of layers and the context module require of their sizes."""
        layers, kernel_sizes = len(self.schedule), self.kernel_sizes
        rule = f"must be one number, or one for each of {layers} layers"
        self.require(len(kernel_sizes) == layers, "kernel_size", rule)
        fits = all(2 <= k <= 64 for k in kernel_sizes)
        self.require(fits, "kernel_size", "must be 2 to 64 taps")
        groups, residual, half = self.groups, self.residual_channels, self.gate_channels // 2
        rule = 'divides the convolution of model.layer = "dense" only'
        self.require(groups == 1 or self.layer == "dense", "groups", rule)
        divides = groups >= 1 and residual % groups == 0 and half % groups == 0
        rule = f"must divide {residual} residual channels and {half}, half the gate channels"
        self.require(divides, "groups", rule)
        used = not self.bottleneck_channels or self.layer == "bottleneck"
        self.require(used, "bottleneck_channels", 'is of model.layer = "bottleneck" only')
        rule = "must be at least 4 for a hybrid layer"
        self.require(self.layer != "hybrid" or half > 1, "gate_channels", rule)
        branches = self.pyramid_dilations
        fits = 1 <= len(branches) <= 16 and all(1 <= d <= 2**20 for d in branches)
        self.require(fits, "pyramid_dilations", "must list 1 to 16 dilations of 1 to 2^20")
        # One for each dilation, and one for the mean over the window.
        all_branches = len(branches) + 1
        fits = self.context == "none" or self.skip_channels >= all_branches
        rule = f"must be at least {all_branches}, one for each branch of the pyramid"
        self.require(fits, "skip_channels", rule)

    @property
    def schedule(self) -> tuple[int, ...]:
        """Dilation of every layer, in samples: `dilations`, or else the cycle over and over."""
        if self.dilations is not None:
            return self.dilations
        cycle = dilations.cycle(self.growth, self.dilation_cycle)
        return tuple(cycle[i % len(cycle)] for i in range(self.layers))

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Taps of every layer's kernel."""
        if isinstance(self.kernel_size, int):
            return (self.kernel_size,) * len(self.schedule)
        return self.kernel_size

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """The dilations in every layer: one, or two in a hybrid layer.

        Those are of the first half of its channels, which is not dilated, and of the other half.
        """
        return tuple((1, d) if self.layer == "hybrid" else (d,) for d in self.schedule)

    @property
    def offsets(self) -> tuple[tuple[int, ...], ...]:
        """The offsets of every layer's taps, in samples, from the newest, 0, to the oldest."""
        layers = zip(self.kernel_sizes, self.parts, strict=True)
        return tuple(dilations.offsets(taps, parts, self.smooth) for taps, parts in layers)

    @property
    def all_offsets(self) -> tuple[tuple[int, ...], ...]:
        """`offsets`, and last those at which the context module, if any, reads the skip sum."""
        if self.context == "none":
            return self.offsets
        context_offsets = {*self.pyramid_dilations, *range(self.pyramid_window)}
        return (*self.offsets, tuple(sorted(context_offsets)))

    @property
    def context_lag(self) -> int:
        """How many samples back the context module reads the skip sum; 0 without one."""
        if self.context == "none":
            return 0
        return max(*self.pyramid_dilations, self.pyramid_window - 1)

    @property
    def receptive_field(self) -> int:
        """Samples that one prediction can depend on."""
        return 1 + sum(layer_offsets[-1] for layer_offsets in self.offsets) + self.context_lag

    @property
    def ordinary_layers(self) -> bool:
        """Whether all layers are ordinary dilated convolutions."""
        return self.layer == "dense" and self.groups == 1 and not self.smooth

    @property
    def plain(self) -> bool:
        """Whether all layers are ordinary, and there is no context module."""
        return self.ordinary_layers and self.context == "none"

    @property
    def follows_frames(self) -> bool:
        """Whether the network is conditioned on mel frames, which makes it a vocoder."""
        return self.mel_bands > 0

    @property
    def frame_hop(self) -> int:
        """Samples between frames of conditioning; 1 when the network follows none."""
        return self.mel_hop if self.follows_frames else 1

    @property
    def condition_channels(self) -> int:
        """Conditioning channels of a layer: condensed mel frames, then the label's embedding."""
        return (self.mel_channels if self.follows_frames else 0) + self.label_channels
