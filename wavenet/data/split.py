"""What is trained on and what is held out: whole recordings, or the end of each.

A resumed run goes on with the best score so far only where `training.session._resume` knows of no
change to what is held out: whoever changes the rule makes it forget that score.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from wavenet.config import TrainConfig
from wavenet.data.decoding import Recording
from wavenet.errors import CorpusError
from wavenet.system.text import counted

# With train.validation = "tails", recordings up to this long are left out, and of the others this
# share is held out: the protocol of published likelihoods.
TAILS_MIN_SECONDS = 1.0
TAILS_FRACTION = 0.1
# Different recordings that it takes to hold whole ones out.
FEWEST_FILES = 4


@dataclass(frozen=True)
class Span:
    """Samples `start` to `stop` of one recording, whose label has the number `label`."""

    recording: Recording
    start: int
    stop: int
    label: int = 0

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Split:
    """Spans to train on and spans to validate on, and which recordings they leave."""

    training: list[Span]
    validation: list[Span]
    # Names of whole recordings that are held out, and of those too short for `tails`.
    held_out: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    # What the user should know about it.
    notes: list[str] = field(default_factory=list)


def tails(
    recordings: Iterable[Recording], sample_rate: int, min_seconds: float = TAILS_MIN_SECONDS
) -> list[tuple[Recording, int]]:
    """The recordings over `min_seconds`, each with the sample that its held-out end begins at."""
    return [
        (r, int(r.samples * (1 - TAILS_FRACTION)))
        for r in recordings
        if r.samples > min_seconds * sample_rate
    ]


def split(
    recordings: Sequence[Recording],
    train: TrainConfig,
    sample_rate: int,
    labels: Mapping[str, int],
    subject: Path | str,
) -> Split:
    """Split recordings as `train.validation` asks; `labels` by recording, {} without.

    Raises CorpusError, about `subject`, when nothing is left to train on.
    """
    different = len({r.sha256 for r in recordings})
    is_tails = train.validation == "tails"
    if not is_tails and different >= FEWEST_FILES:
        return _hold_out_files(recordings, train.validation_fraction, labels)
    min_seconds = TAILS_MIN_SECONDS if is_tails else 0.0
    kept = tails(recordings, sample_rate, min_seconds)
    if not kept:
        reason = f"train.validation = tails needs recordings over {min_seconds:g} s"
        raise CorpusError(subject, reason, "use files")
    names = {r.name for r, _ in kept}
    left_out = [r.name for r in recordings if r.name not in names]
    notes = []
    if not is_tails:
        instead = "validating on the last tenth of each instead of on whole files"
        notes.append(f"only {counted(different, 'different recording')}: {instead}")
    if left_out:
        rule = f"train.validation = tails uses files over {min_seconds:g} s"
        notes.append(f"{rule}: {len(left_out)} shorter ones left out")
    return Split(
        training=[Span(r, 0, start, labels.get(r.name, 0)) for r, start in kept],
        validation=[Span(r, start, r.samples, labels.get(r.name, 0)) for r, start in kept],
        left_out=left_out,
        notes=notes,
    )


def _hold_out_files(
    recordings: Sequence[Recording], fraction: float, labels: Mapping[str, int]
) -> Split:
    """About a fraction of the audio, chosen by content.

    So adding files moves few others, and copies of one recording are never on both sides.
    """
    content = attrgetter("sha256")
    groups = [list(copies) for _, copies in groupby(sorted(recordings, key=content), content)]
    group_labels = [{labels.get(r.name, 0) for r in group} for group in groups]
    sizes = [sum(r.samples for r in group) for group in groups]
    chosen = _choose_groups(sizes, group_labels, fraction * sum(sizes))
    held_out = [r for i in chosen for r in groups[i]]
    names = {r.name for r in held_out}

    def spans(whole: Iterable[Recording]) -> list[Span]:
        return [Span(r, 0, r.samples, labels.get(r.name, 0)) for r in whole]

    training = spans(r for r in recordings if r.name not in names)
    return Split(training=training, validation=spans(held_out), held_out=sorted(names))


def _choose_groups(sizes: list[int], labels: list[set[int]], goal: float) -> list[int]:
    """Which groups to hold out, in the order of choice, so that about `goal` samples are.

    Every label keeps a group to be trained on.
    """
    left = Counter(label for group in labels for label in group)
    # A set that keeps the order.
    chosen: dict[int, None] = {}
    held = 0

    def can_be_spared(i: int) -> bool:
        return i not in chosen and all(left[label] > 1 for label in labels[i])

    def hold_out(i: int) -> None:
        chosen[i] = None
        left.subtract(labels[i])

    for i, size in enumerate(sizes):
        if held + size <= goal and can_be_spared(i):
            hold_out(i)
            held += size
    others = [i for i in range(len(sizes)) if can_be_spared(i)]
    # Where all that remain are longer than the goal, one is taken all the same.
    if held < goal / 2 and others and len(chosen) < len(sizes) - 1:
        hold_out(min(others, key=lambda i: sizes[i]))
    return list(chosen)
