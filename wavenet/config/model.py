"""The settings of [model]: a network's sizes, and what follows from them by arithmetic.

What stands below a setting is its documentation: see `reference`. One that is renamed or goes away
is entered in `legacy`.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from wavenet.arithmetic import is_power_of_two
from wavenet.config import dilations
from wavenet.config.checks import Checked, ranged

# What a network may follow, in the order in which layers read its channels.
KINDS = ("mel", "label", "pitch", "loudness", "features", "segments")
# The setting that makes a network follow a kind by being above 0, and its usual value.
WIDTHS = {"mel": ("mel_bands", 80), "label": ("label_channels", 16)}
# Where the labels that a kind knows are kept.
LABELS = {"label": "labels", "segments": "segment_labels"}
# Settings that are found in recordings when training starts.
FOUND = ("labels", "features_width", "segment_labels")


def without_found(model: "ModelConfig") -> "ModelConfig":
    """The sizes without what was found in recordings."""
    return replace(model, labels=(), features_width=0, segment_labels=())


def with_found(model: "ModelConfig", other: "ModelConfig") -> "ModelConfig":
    """The sizes with what was found for the other ones, where they want and do not name any."""
    found: dict[str, Any] = {}
    if model.label_channels and not model.labels:
        found["labels"] = other.labels
    if "segments" in model.conditioning and not model.segment_labels:
        found["segment_labels"] = other.segment_labels
    if "features" in model.conditioning and not model.features_width:
        found["features_width"] = other.features_width
    return replace(model, **found)


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The network's sizes, in the field's terms. Raises ConfigError for what is out of range.

    >>> import wavenet
    >>> wavenet.ModelConfig(layers=10, dilation_cycle=512, kernel_size=2).receptive_field  # samples
    1024
    """

    section: ClassVar[str] = "model"

    layers: int = ranged(30, 1, 1000, "layers")
    """Layers of the stack. More of them hear further back and learn more, and cost time in
    proportion.
    """

    dilation_cycle: int = ranged(512, 1, 2**20, "samples")
    """The largest dilation: dilations grow from layer to layer up to it, then start again at 1. It
    decides most how far back the network hears; a power of two with `growth = "doubling"`.
    """

    growth: Literal["doubling", "fibonacci", "coprime"] = "doubling"
    """How dilations grow: 1, 2, 4, 8 ..., or 1, 2, 3, 5, 8 ..., or 1, 2, 3, 5, 7, 11 ... without a
    common divisor. The slower ones reach most samples by several paths, and take more layers for
    the same reach.
    """

    dilations: tuple[int, ...] | None = ranged(None, 1, 2**20, "samples", longest=1000)
    """An explicit list, one dilation for each layer. It replaces `layers`, `dilation_cycle` and
    `growth`; setting one of those takes it back.
    """

    kernel_size: int | tuple[int, ...] = ranged(2, 2, 64, "taps")
    """Taps of the dilated convolutions: one number, or a list with one for each layer."""

    layer: Literal["dense", "separable", "bottleneck", "hybrid"] = "dense"
    """The kind of dilated convolution. "separable" and "bottleneck" have fewer parameters; in
    "hybrid" half of the channels are not dilated.
    """

    groups: int = ranged(1, 1, 4096, "groups")
    """Groups that the channels of a dense convolution are divided into, of which each reads its own
    only: fewer parameters. It must divide `residual_channels` and half of `gate_channels`.
    """

    bottleneck_channels: int = ranged(
        0, 0, 8192, "channels", zero="a quarter of the residual channels"
    )
    """Channels of the dilated convolution in a layer of kind "bottleneck", and of no other."""

    smooth: bool = False
    """Let every tap read the mean of a sample and the one before it, against the grid that
    dilations leave.
    """

    residual_channels: int = ranged(64, 1, 8192, "channels")
    """Width of the path from layer to layer. Together with `gate_channels` it decides how much the
    network can learn, and what a sample costs.
    """

    gate_channels: int = ranged(128, 1, 8192, "channels")
    """Outputs of each dilated convolution, both halves counted: the tanh half and the sigmoid half.
    An even number, usually twice `residual_channels`.
    """

    skip_channels: int = ranged(64, 1, 8192, "channels")
    """Width of the sum that all layers add to and the output is made from."""

    context: Literal["none", "pyramid"] = "none"
    """A module before the head that also reads the skip sum at earlier samples. "pyramid" reads it
    at `pyramid_dilations`, and its mean over `pyramid_window`.
    """

    pyramid_dilations: tuple[int, ...] = ranged((1, 6, 12, 18), 1, 2**20, "samples", longest=16)
    """How far back each branch of `context = "pyramid"` reads."""

    pyramid_window: int = ranged(256, 2, 2**20, "samples")
    """The window over which the last branch of `context = "pyramid"` reads a mean."""

    head_channels: int = ranged(64, 1, 8192, "channels")
    """Width between the skip sum and the output."""

    output: Literal["mulaw", "logistic", "gaussian"] = "mulaw"
    """What is predicted: one of `levels` mu-law levels, or a 16-bit sample by a mixture of logistic
    or of normal densities.
    """

    levels: int = ranged(256, 16, 1024, "levels", power_of_two=True)
    """Mu-law levels of `output = "mulaw"`: 256 are 8 bits, whose hiss can be heard; 1024 are 10
    bits, with less of it.
    """

    mixtures: int = ranged(10, 1, 100, "components")
    """Components of the mixture that the other outputs predict."""

    conditioning: tuple[str, ...] = ()
    """What the network follows besides the past, as a list of: "mel", frames of a recording's
    spectrum, which make it a vocoder; "pitch" and "loudness", which make it an instrument to be
    played; "features" of your own, a .npy beside each recording; "segments", labels with a start
    and an end in a file beside each recording, such as words; "label", one for a whole recording.
    `mel_bands` adds "mel" to it and `label_channels` adds "label".
    """

    label_channels: int = ranged(0, 0, 1024, "channels", zero="no labels")
    """Size of the vector that stands for a label: a voice, an instrument, a class. Set it to about
    16 to train several in one network and choose one when generating.
    """

    labels: tuple[str, ...] = ()
    """The labels that the network knows, all different, by name. They are collected from the
    recordings when training starts, so there is no need to set them.
    """

    frame_hop: int = ranged(256, 1, 2**16, "samples")
    """From one frame that the network follows to the next: of mel frames, pitch, loudness, features
    and segments alike. At most `frame_window` with mel frames.
    """

    frame_window: int = ranged(1024, 16, 2**16, "samples")
    """What one mel frame, or one of loudness, is computed from."""

    frame_context: int = ranged(2, 0, 64, "frames")
    """The network sees each frame with this many to each side of it, condensed to
    `frame_channels`.
    """

    frame_channels: int = ranged(64, 1, 1024, "channels")
    """Channels that a frame of each kind and its neighbours are condensed to, for all layers."""

    mel_bands: int = ranged(0, 0, 512, "bands", zero="no mel frames")
    """Bands of the log-mel frames that the network follows, which makes it a vocoder."""

    linear_prediction: int = ranged(0, 0, 64, "taps", zero="none")
    """Let the network predict what excites a filter that is computed from mel frames, in place of
    the audio: the filter makes the colour and loudness of every sound, the network pitch and noise.
    So a vocoder speaks many times sooner. Wants about a tap for each kHz of `audio.sample_rate`.
    """

    mel_low_hz: float = ranged(0.0, 0, 1e9, "Hz")
    """Where the lowest mel band begins; below `mel_high_hz`."""

    mel_high_hz: float = ranged(8000.0, 0, 1e9, "Hz", above=True)
    """Where the highest mel band ends; at most half of `audio.sample_rate`."""

    pitch_low_hz: float = ranged(65.0, 20, 10_000, "Hz")
    """The lowest pitch that is looked for in recordings, if "pitch" is followed. Two of its periods
    should fit between events that differ, and a wider range takes longer to search.
    """

    pitch_high_hz: float = ranged(2100.0, 20, 10_000, "Hz")
    """The highest pitch that is looked for; at most a quarter of `audio.sample_rate`."""

    features_width: int = ranged(0, 0, 4096, "numbers", zero="found in the files")
    """Numbers in a frame of "features". It is found when training starts, so there is no need to
    set it.
    """

    features_hop: int = ranged(0, 0, 2**16, "samples", zero="`frame_hop`")
    """From one frame of "features" to the next in their files. Where it is not `frame_hop` they are
    joined by straight lines.
    """

    segment_labels: tuple[str, ...] = ()
    """The labels of "segments" that the network knows, all different. They are collected when
    training starts, so there is no need to set them.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        cycles = self.growth != "doubling" or is_power_of_two(self.dilation_cycle)
        rule = 'must be a power of two with model.growth = "doubling"'
        self.require(cycles, "dilation_cycle", rule)
        even = self.gate_channels % 2 == 0
        self.require(even, "gate_channels", "counts both halves, so it must be even")
        self.require(len({*self.labels}) == len(self.labels), "labels", "must all be different")
        embedded = not self.labels or self.label_channels > 0
        self.require(embedded, "labels", "needs model.label_channels above 0")
        self._complete_conditioning()
        computed = {"mel", "loudness"} & {*self.conditioning}
        fits = self.frame_hop <= self.frame_window or not computed
        self.require(fits, "frame_hop", "must be at most model.frame_window samples")
        follows_mel = self.follows_mel or not self.linear_prediction
        self.require(follows_mel, "linear_prediction", "needs model.mel_bands above 0")
        below = self.mel_low_hz < self.mel_high_hz
        self.require(below, "mel_low_hz", "must be below model.mel_high_hz")
        below = 2 * self.pitch_low_hz <= self.pitch_high_hz
        self.require(below, "pitch_low_hz", "must be at most half of model.pitch_high_hz")
        self._check_patterns()

    def _complete_conditioning(self) -> None:
        """Bring the list of what is followed into its order, with what is followed by its width."""
        of_width = {kind for kind, (name, _) in WIDTHS.items() if getattr(self, name)}
        unknown = [kind for kind in self.conditioning if kind not in KINDS]
        rule = f"must be a list of {', '.join(KINDS)}"
        self.require(not unknown, "conditioning", rule)
        for kind, (name, usual) in WIDTHS.items():
            missing = kind in self.conditioning and kind not in of_width
            self.require(
                not missing,
                name,
                f"must be above 0, usually {usual}, or {kind} not in model.conditioning",
            )
        followed = tuple(kind for kind in KINDS if kind in of_width | {*self.conditioning})
        object.__setattr__(self, "conditioning", followed)
        of_segments = not self.segment_labels or "segments" in followed
        self.require(of_segments, "segment_labels", 'needs "segments" in model.conditioning')
        different = len({*self.segment_labels}) == len(self.segment_labels)
        self.require(different, "segment_labels", "must all be different")

    def _check_patterns(self) -> None:
        """What the kinds of layers and the context module require of their sizes."""
        layers, kernel_sizes = len(self.schedule), self.kernel_sizes
        rule = f"must be one number, or one for each of {layers} layers"
        self.require(len(kernel_sizes) == layers, "kernel_size", rule)
        groups, residual, half = self.groups, self.residual_channels, self.gate_channels // 2
        rule = 'divides the convolution of model.layer = "dense" only'
        self.require(groups == 1 or self.layer == "dense", "groups", rule)
        divides = residual % groups == 0 and half % groups == 0
        rule = f"must divide {residual} residual channels and {half}, half the gate channels"
        self.require(divides, "groups", rule)
        used = not self.bottleneck_channels or self.layer == "bottleneck"
        self.require(used, "bottleneck_channels", 'is of model.layer = "bottleneck" only')
        rule = "must be at least 4 for a hybrid layer"
        self.require(self.layer != "hybrid" or half > 1, "gate_channels", rule)
        # One for each dilation, and one for the mean over the window.
        all_branches = len(self.pyramid_dilations) + 1
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
        """Whether the network is conditioned on anything that changes along a recording."""
        return any(kind != "label" for kind in self.conditioning)

    @property
    def follows_mel(self) -> bool:
        """Whether the network is conditioned on mel frames, which makes it a vocoder."""
        return self.mel_bands > 0

    @property
    def frame_spacing(self) -> int:
        """Samples between frames of conditioning; 1 when the network follows none."""
        return self.frame_hop if self.follows_frames else 1

    @property
    def condition_channels(self) -> int:
        """Conditioning channels of a layer: condensed frames, then the label's embedding."""
        kinds = sum(kind != "label" for kind in self.conditioning)
        return kinds * self.frame_channels + self.label_channels
