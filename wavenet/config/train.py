"""The settings of [train]: the training recipe.

What stands below a setting is its documentation: see `reference`. One that is renamed or goes away
is entered in `legacy`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from wavenet.config.checks import Checked, ranged


@dataclass(frozen=True)
class TrainConfig(Checked):
    """The training recipe. Raises ConfigError for what is out of range.

    >>> import wavenet
    >>> wavenet.TrainConfig(steps=500, learning_rate=1e-3).steps
    500
    """

    section: ClassVar[str] = "train"

    steps: int = ranged(20_000, 1, 1e9, "steps")
    """Length of the training: set it to what your time allows. The learning rate falls over all of
    it, and much of what is gained is gained at the end.
    """

    minutes: float = ranged(0.0, 0, 1e5, "minutes", zero="`steps` decides")
    """Length of the training in minutes. A few steps are timed when training begins and `steps` is
    set to as many as fit, and again every ten steps. A run that goes on later keeps the last
    number, however long it takes. Validation comes on top. Unlike `--max-hours`, which breaks off a
    session wherever the schedule is, it ends the schedule.
    """

    init_from: str = ""
    """The trained model to begin from, whose network and sample rate the run then has: a bundled
    model, a run folder or a checkpoint file. Empty begins with random weights.
    """

    batch: int = ranged(2, 1, 65536, "windows")
    """Windows that one step learns from. More make a step longer and its direction surer, and take
    memory in proportion.
    """

    accumulate: int = ranged(1, 1, 65536, "parts")
    """Parts that a step's batch is computed in, one after the other: less memory, the same result.
    At most `batch`.
    """

    checkpoint_layers: int = ranged(0, 0, 1000, "layers", zero="keeps all")
    """Keep the input of every so many layers only and compute the rest again: less memory, more
    time.
    """

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of the matrix products; weights and loss stay in fp32. "auto" is bf16 on GPUs that
    have it, else fp32.
    """

    compile: bool = False
    """Let torch.compile fuse the passes over the gates. In fp32 on a CPU they are fused without."""

    augment_gain_db: float = ranged(0.0, 0, 40, "dB")
    """Each window is made up to this much louder or softer than it was recorded, so that a small
    folder is learnt by heart later. 6 suits a few minutes of audio.
    """

    augment_pitch: float = ranged(0.0, 0, 12, "semitones")
    """Each window is played at a speed that varies, so that its pitch glides by up to this much up
    and down, and what is followed with it. So notes that are rare or missing in the recordings are
    learnt, and pitch between them. About 4 suits an instrument.
    """

    input_noise: float = ranged(0.0, 0, 128, "levels")
    """In each window the samples that the network reads, not those that it predicts, have noise of
    a deviation of up to this many mu-law levels, of 256; in validation too. What is followed, such
    as pitch, then counts for more than the past, which is perfect in training alone: 48 suits an
    instrument that is to be played in tune, 4 words that are to be understood.
    """

    segment_seconds: float = ranged(0.5, 0.001, 60, "s")
    """Predicted audio in each window. The receptive field comes on top, before it."""

    learning_rate: float = ranged(1e-2, 1e-9, 10)
    """The largest step size of the optimiser, AdamW. Try a third of it when the loss rises or is
    not finite.
    """

    warmup_steps: int = ranged(50, 0, 1e9, "steps")
    """Steps over which the learning rate rises to its full value."""

    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up the learning rate falls along half a cosine to a hundredth, or stays."""

    weight_decay: float = ranged(0.01, 0, 10)
    """How strongly AdamW pulls weights towards 0, times the learning rate at each step."""

    clip_norm: float = ranged(1.0, 1e-6, 1e6)
    """Gradients whose norm is larger than this are scaled down to it."""

    ema_decay: float = ranged(0.999, 0, 0.999999)
    """Decay of the moving average of the weights, which is what is scored and played; it averages
    over about 1 / (1 - decay) steps, fewer early on.
    """

    seed: int = ranged(0, 0, 2**63 - 1)
    """Decides the initial weights and which windows are drawn. Another one trains another model of
    the same kind.
    """

    validation: Literal["files", "tails"] = "files"
    """What is held out to score the model: whole recordings, or the last tenth of each recording
    over one second. With fewer than four recordings it is the last tenth of each.
    """

    validation_fraction: float = ranged(0.1, 0.01, 0.5)
    """How much `validation = "files"` holds out."""

    validation_seconds: float = ranged(30.0, 0.1, 1e6, "s")
    """At most this much of the held-out audio is scored each time."""

    evaluate_every: int = ranged(500, 1, 1e9, "steps")
    """From one validation to the next. With each come a rendered sample and a checkpoint."""

    checkpoint_minutes: float = ranged(5.0, 0.01, 1e6, "minutes")
    """A checkpoint is saved at least this often, so that no more is lost when the machine fails."""

    patience: int = ranged(0, 0, 1e9, "validations", zero="never")
    """End early when so many validations in a row brought nothing better. Worth setting on a small
    folder.
    """

    keep_checkpoints: int = ranged(3, 1, 1000, "checkpoints")
    """The last ones that are kept, and the best one besides."""

    sample_seconds: float = ranged(1.5, 0, 60, "s", zero="none")
    """Length of the sample that is rendered at each validation."""

    label_from: str = "folder"
    """Where the label of a recording comes from, if `model.label_channels` is set: its "folder", a
    table such as labels.csv with rows of file,label, or a pattern on its name, with
    `(?P<label>...)` in it.
    """

    label_depth: int = ranged(0, 0, 100, "folders", zero="all")
    """How many of the folders that a recording lies in make its label, from the outermost on, where
    labels come from folders: 1 for folders of speakers that hold folders of chapters.
    """

    segments_tier: str = ""
    """The interval tier of TextGrids that "segments" are taken from, by its name, where they have
    several.
    """

    frames_from: str = ""
    """Folder of mel frames to train a vocoder on, as an acoustic model makes them: for every
    recording a .npy of its name, of natural logarithms of mel magnitudes. Nothing is trimmed then,
    and recordings without frames are skipped. Empty computes frames from the audio.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = self.accumulate <= self.batch
        self.require(allowed, "accumulate", f"must be 1 to {self.batch} parts")
