"""A model played like an instrument, from Python in one call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavenet.audio.playable import Audio
from wavenet.engines.options import EngineOptions
from wavenet.errors import UsageError
from wavenet.generation import sources
from wavenet.generation.api import as_model, given_or_new
from wavenet.generation.conditions import Conditions
from wavenet.generation.provenance import synthetic_tags
from wavenet.generation.sampler import Sampler
from wavenet.generation.sources import How
from wavenet.glossary import AudioInput
from wavenet.model.arguments import require_type
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import followed
from wavenet.model.distributions.base import Sampling
from wavenet.scores.notes import Note
from wavenet.scores.segments import Segment
from wavenet.system.files import given_path
from wavenet.system.notices import tell

Source = AudioInput | Sequence[Note] | Sequence[Segment]


def play(
    model: Model | str | Path,
    source: Source,
    seed: int | None = 0,
    *,
    label: str | None = None,
    transpose: float = 0.0,
    tempo: float = 1.0,
    channel: int | None = None,
    tier: str | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Audio:
    """New audio (time,) by a model that follows pitch, loudness, segments or features.

        source        a recording, whose pitch and loudness are followed: a file, a wav (time,) at
                      the model's rate, or (wav, rate); a MIDI file, of one voice; notes such as
                      "C4:0.5 D4 E4:1 -:0.5", or a list of `Note`; a file of segments, or a list of
                      `Segment`; a .npy file of features
        label         of a model that knows some
        transpose     semitones up, or down
        tempo         a factor: 2 is twice as fast
        channel       of a MIDI file with several, 1 to 16
        tier          of a TextGrid with several

    Pitch and loudness beyond what the model was trained on are brought into its range, by octaves
    and as a whole, which the logger `wavenet` is told. The other arguments are those of `generate`.

    Raises WavenetError: EngineError for what the model cannot follow, ScoreError for notes and
    segments, AudioError for a recording.

    >>> import wavenet
    >>> wavenet.play("demo-flute", "C5:0.2 E5")
    <wavenet.Audio: 0.70 s at 16000 Hz, seed 0>
    """
    model, seed = as_model(model), given_or_new(seed)
    conditions = read_source(
        source, model, transpose=transpose, tempo=tempo, channel=channel, tier=tier
    )
    sampler = Sampler(
        model,
        seed=seed,
        sampling=Sampling(temperature, top_k, top_p),
        engine=engine,
        options=EngineOptions(precision, threads),
        labels=() if label is None else (label,),
        conditions=[conditions],
    )
    (wav,) = sampler.collect([conditions.samples])
    tags = [synthetic_tags(model.name, model, seed, made_from=followed(model.config.model))]
    return Audio(wav, model.sample_rate, seed=seed, tags=tags)


def read_source(
    source: Source,
    model: Model,
    *,
    transpose: float = 0.0,
    tempo: float = 1.0,
    channel: int | None = None,
    tier: str | None = None,
) -> Conditions:
    """What a model follows when it plays a source, for a `Sampler`. The arguments are `play`'s.

    Raises what `play` raises.

    >>> import wavenet
    >>> flute = wavenet.load("demo-flute")
    >>> conditions = wavenet.read_source("C5:0.2 E5", flute)
    >>> sampler = wavenet.Sampler(flute, seed=0, conditions=[conditions])
    >>> [block.shape for block in sampler.blocks(conditions.samples, block=8000)]
    [(1, 8000), (1, 3200)]
    """
    require_type("model", model, Model, "`wavenet.load` gives one")
    conditions = _conditions(source, model, How(transpose, tempo, channel, tier))
    for note in conditions.notes:
        tell(note)
    return conditions


def _conditions(source: Any, model: Model, how: How) -> Conditions:
    sources.require_playable(model)
    sources.require_of_use(how, [source])
    if isinstance(source, str) and sources.is_typed(source):
        return sources.from_text(source, model, how)
    if isinstance(source, str | Path):
        return sources.from_file(given_path("source", source), model, how)
    if isinstance(source, list | tuple) and source and isinstance(source[0], Note | Segment):
        kind = type(source[0])
        if not all(isinstance(each, kind) for each in source):
            raise UsageError("source", None, f"mixes {kind.__name__} with others")
        play_these: Any = sources.from_notes if kind is Note else sources.from_segments
        conditions: Conditions = play_these(source, model, how, "`source`")
        return conditions
    return sources.from_recording(source, model, how, "`source`")
