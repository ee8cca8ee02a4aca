"""What is trained on and what is held out: whole recordings, or the end of each.

A resumed run goes on with the best score so far only where `training.session._resume` knows of no
change to what is held out: whoever changes the rule makes it forget that score.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wavenet.config import TrainConfig
from wavenet.data.pcm_cache import Recording
from wavenet.errors import CorpusError

# With train.validation = "tails", recordings up to this long are left out, and of the others this
# share is held out: the protocol of published likelihoods.
TAILS_MIN_SECONDS = 1.0
TAILS_FRACTION = 0.1
# Different recordings that it takes to hold whole ones out.
FEWEST_FILES = 4


@dataclass(frozen=True)
class Span:
    """A range of one recording, in samples.

    The recording begins at `offset` in the pcm file and is `length` samples long; the range is
    its samples `start` to `stop`. `label` is the recording's number among the network's labels.
    """

    offset: int
    start: int
    stop: int
    length: int
    label: int = 0

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass
class Split:
    """Spans to train on and spans to validate on, and which recordings they leave."""

    training: list[Span]
    validation: list[Span]
    # Names of whole recordings that are held out, and of those too short for `tails`.
    held_out: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    # What the user should know about it.
    notes: list[str] = field(default_factory=list)


def tail_start(samples: int) -> int:
    """Where the held-out end of a recording begins."""
    return int(samples * (1 - TAILS_FRACTION))


def long_enough_for_tails(samples: int, sample_rate: int) -> bool:
    """Whether `tails` uses a recording at all."""
    return samples > TAILS_MIN_SECONDS * sample_rate


def split(
    recordings: Sequence[Recording],
    train: TrainConfig,
    sample_rate: int,
    labels: dict[str, int],
    folder: Path,
) -> Split:
    """Split a folder's recordings as `train.validation` asks; `labels` by recording, {} without.

    Raises CorpusError when nothing is left to train on.
    """

    def span(r: Recording, start: int, stop: int) -> Span:
        return Span(r.offset, start, stop, r.samples, labels.get(r.name, 0))

    if train.validation == "tails":
        return _hold_out_tails(recordings, TAILS_MIN_SECONDS, sample_rate, span, folder)
    different = len({r.sha256 for r in recordings})
    if different >= FEWEST_FILES:
        return _hold_out_files(recordings, train.validation_fraction, labels, span)
    result = _hold_out_tails(recordings, 0.0, sample_rate, span, folder)
    result.notes.insert(
        0,
        f"only {different} different recordings: "
        "validating on the last tenth of each instead of on whole files",
    )
    return result


def _hold_out_files(
    recordings: Sequence[Recording],
    fraction: float,
    labels: dict[str, int],
    span: Callable[[Recording, int, int], Span],
) -> Split:
    """About a fraction of the audio, chosen by content.

    So adding files moves few others, and copies of one recording are never on both sides.
    """
    by_content: dict[str, list[Recording]] = {}
    for r in recordings:
        by_content.setdefault(r.sha256, []).append(r)
    groups = [by_content[sha] for sha in sorted(by_content)]
    group_labels = [{labels.get(r.name, 0) for r in group} for group in groups]
    goal = fraction * sum(r.samples for r in recordings)
    sizes = [sum(r.samples for r in group) for group in groups]
    chosen = _choose_groups(sizes, group_labels, goal)
    validation = [r for i in chosen for r in groups[i]]
    held_out = sorted(r.name for r in validation)
    names = set(held_out)
    training = [r for r in recordings if r.name not in names]
    return Split(
        [span(r, 0, r.samples) for r in training],
        [span(r, 0, r.samples) for r in validation],
        held_out=held_out,
    )


def _choose_groups(sizes: list[int], labels: list[set[int]], goal: float) -> list[int]:
    """Which groups to hold out, in the order of choice, so that about `goal` samples are.

    Every label keeps a group to be trained on.
    """
    left = Counter(label for group in labels for label in group)
    chosen: list[int] = []
    held = 0

    def can_be_spared(i: int) -> bool:
        return i not in chosen and all(left[label] > 1 for label in labels[i])

    def hold_out(i: int) -> None:
        chosen.append(i)
        left.subtract(labels[i])

    for i, size in enumerate(sizes):
        if held + size <= goal and can_be_spared(i):
            hold_out(i)
            held += size
    others = [i for i in range(len(sizes)) if can_be_spared(i)]
    # Where all that remain are longer than the goal, one is taken all the same.
    if held < goal / 2 and others and len(chosen) < len(sizes) - 1:
        hold_out(min(others, key=lambda i: sizes[i]))
    return chosen


def _hold_out_tails(
    recordings: Iterable[Recording],
    min_seconds: float,
    sample_rate: int,
    span: Callable[[Recording, int, int], Span],
    folder: Path,
) -> Split:
    """The end of every recording over `min_seconds`."""
    kept, left_out = [], []
    for r in recordings:
        if r.samples > min_seconds * sample_rate:
            kept.append(r)
        else:
            left_out.append(r.name)
    if not kept:
        raise CorpusError(
            f"{folder}: train.validation = tails needs recordings over {min_seconds:g} s; use files"
        )
    result = Split(
        [span(r, 0, tail_start(r.samples)) for r in kept],
        [span(r, tail_start(r.samples), r.samples) for r in kept],
        left_out=left_out,
    )
    if left_out:
        result.notes.append(
            f"train.validation = tails uses files over {min_seconds:g} s: "
            f"{len(left_out)} shorter ones left out"
        )
    return result
