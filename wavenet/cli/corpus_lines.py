"""What is shown of the recordings that a model is trained on."""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from wavenet.cli import terminal
from wavenet.cli.values import duration
from wavenet.config import Config
from wavenet.config.loading import load, preset_names
from wavenet.data.corpus import Corpus
from wavenet.data.labels import outer_folders
from wavenet.data.pcm_cache import Index
from wavenet.model.conditioning.registry import frame_front_ends
from wavenet.model.known_labels import labels_line
from wavenet.system.text import counted

FILES_SHOWN = 8
RATES_SHOWN = 3
LABELS_SHOWN = 12
# A folder whose loudest moment lies below this gets advice.
QUIET_DBFS = -30.0


def corpus_lines(corpus: Corpus, is_new: bool = True) -> Iterator[str]:
    """What was kept, trimmed and skipped, and why. A run that `is_new` may still change more."""
    index, config = corpus.index, corpus.config
    count = counted(len(index.recordings), "recording")
    duplicates = sum(r.duplicate_of is not None for r in index.recordings)
    more = f"; {counted(duplicates, 'duplicate')}" if duplicates else ""
    length = f"{duration(index.seconds)} at {index.sample_rate} Hz"
    yield f"recordings {index.selection}: {count}, {length}{more}"
    yield from rate_lines(index, config, is_new)
    if config.trims:
        trimmed = sum(r.trimmed_seconds for r in index.recordings)
        yield f"trimmed    {duration(trimmed)} of silence at their ends (audio.trim)"
    elif config.audio.trim:
        why = "train.validation = tails scores whole files"
        if config.train.frames_from:
            why = "frames are of whole files (train.frames_from)"
        elif beside := [k for k in ("features", "segments") if k in config.model.conditioning]:
            why = f"{beside[0]} are of whole files"
        yield f"trimmed    nothing, because {why}"
    yield f"level      {level_line(index, config)}"
    yield from conditioning_lines(corpus, is_new)
    if order := config.model.linear_prediction:
        yield f"predicts   what excites a filter of {order} taps (model.linear_prediction)"
    if most := config.train.input_noise:
        where = "what the network reads, in validation too (train.input_noise)"
        yield f"noise      of up to {most:g} mu-law levels on {where}"
    noted = [(r.name, r.note) for r in index.recordings if r.note and not r.duplicate_of]
    yield from _listed("noted", noted)
    yield from _listed("skipped", [(s.name, s.reason) for s in index.skipped])
    used = sum(len(corpus.contents_beside.get(kind, ())) for kind in ("features", "segments"))
    if index.ignored > used:
        others = counted(index.ignored - used, "other file")
        yield f"ignored    {others}: hidden, or not audio by their names"
    what = "the last tenth of each recording"
    if corpus.held_out:
        what = counted(len(corpus.held_out), "whole recording")
    held_out_seconds = sum(map(len, corpus.validation)) / index.sample_rate
    yield f"held out   {duration(held_out_seconds)} for validation: {what}"
    for note in corpus.notes:
        yield f"note       {note}"
    megabytes = sum(p.stat().st_size for p in index.cache.iterdir()) / 1e6
    decoded = f"{counted(index.decoded, 'file')} decoded now"
    yield f"cache      {index.cache} ({megabytes:.1f} MB, {decoded})"


def _listed(heading: str, files: list[tuple[str, str]]) -> Iterator[str]:
    """Some of the files that something is to be said of, each with what that is."""
    shown = len(files) if terminal.verbosity.verbose else FILES_SHOWN
    if files:
        more = "; recordings.csv in the run folder lists all" if len(files) > shown else ""
        yield f"{heading:10} {counted(len(files), 'file')}{more}"
    for name, reason in files[:shown]:
        yield f"           {name}: {reason}"


def rate_lines(index: Index, config: Config, is_new: bool) -> Iterator[str]:
    """What was resampled, and which presets would keep what that takes away."""
    rates = Counter(r.rate for r in index.recordings if r.rate not in (0, index.sample_rate))
    if not rates:
        return
    each = [f"{count} from {rate} Hz" for rate, count in rates.most_common(RATES_SHOWN)]
    more = f", and from {len(rates) - RATES_SHOWN} other rates" if len(rates) > RATES_SHOWN else ""
    yield f"resampled  {', '.join(each)}{more}"
    usual = rates.most_common(1)[0][0]
    are_most = 2 * rates[usual] > len(index.recordings)
    is_free = is_new and not config.train.init_from and not config.train.frames_from
    if are_most and usual < index.sample_rate and config.model.linear_prediction and is_free:
        empty = f"nothing lies above {usual / 2000:g} kHz, which it would have to learn first"
        settings = f"--set audio.sample_rate={usual}"
        if config.model.mel_high_hz > usual / 2:
            settings += f" --set model.mel_high_hz={usual // 2}"
        yield f"           {empty}: consider {settings}"
    others = ((name, load(name)) for name in preset_names())
    is_kind = attrgetter("model.conditioning")
    keep = [
        name
        for name, other in others
        if index.sample_rate < other.audio.sample_rate <= usual
        and is_kind(other) == is_kind(config)
    ]
    if keep and are_most:
        lost = f"what lies above {index.sample_rate / 2000:g} kHz is lost"
        yield f"           {lost}: --config {' or '.join(keep)} keeps more of it"


def conditioning_lines(corpus: Corpus, is_new: bool = True) -> Iterator[str]:
    """The labels, with the length of the recordings to train on of each, and what is followed."""
    model, rate = corpus.config.model, corpus.index.sample_rate
    if model.labels:
        samples = Counter[int]()
        for span in corpus.training:
            samples[span.label] += len(span)
        each = [f"{label} {duration(samples[i] / rate)}" for i, label in enumerate(model.labels)]
        shown = len(each) if terminal.verbosity.verbose else LABELS_SHOWN
        more = f", ... ({len(each)} in all)" if len(each) > shown else ""
        yield f"labels     {', '.join(each[:shown])}{more}"
        outer = outer_folders(model.labels) if is_new else []
        if outer and corpus.config.train.label_from == "folder":
            yield (
                "           each folder within a folder is a label; to take the "
                f"{len(outer)} outer ones ({labels_line(outer)}), add --label-depth 1"
            )
    if model.follows_frames:
        every = f"every {model.frame_hop} samples ({1000 * model.frame_hop / rate:.1f} ms)"
        origin = f", from {corpus.config.train.frames_from}" if "mel" in corpus.tracks else ""
        kinds = ", ".join(f.description for f in frame_front_ends(model))
        yield f"frames     {kinds}, {every}{origin}"


def level_line(index: Index, config: Config) -> str:
    """The gains that bring the recordings to the level of training."""
    gains_db = [r.gain_db for r in index.recordings]
    if config.audio.level == "peak":
        gains = f"{min(gains_db):+.1f} to {max(gains_db):+.1f} dB"
        return f"each peak brought to {config.audio.peak_db:g} dBFS: {gains} (audio.level)"
    loudest = max(r.loudest_db for r in index.recordings)
    line = f"as recorded, loudest moment at {loudest:.0f} dBFS (audio.level)"
    if scaled := sum(gain_db != 0 for gain_db in gains_db):
        line += f"; {scaled} scaled down to fit"
    if loudest < QUIET_DBFS:
        line += "; very quiet: consider --set audio.level=peak"
    return line
