"""What `wavenet demo --what tune` makes: a tune on the instrument that was recorded."""

from typing import TYPE_CHECKING

from wavenet.cli import terminal
from wavenet.errors import OutputError, reason_of
from wavenet.system import resources
from wavenet.system.shell import command

if TYPE_CHECKING:
    from wavenet.data.corpus import Corpus
    from wavenet.training.run_folder import Run

BUNDLED = resources.folder("starter") / "instrument" / "flute"
BASE = "base-instrument"
TITLE = "Morning Mood (Grieg, 1875)"
# In B, a fourth below the orchestra's flute: there the bundled one has its clearest fundamentals.
TUNE = (
    "F#5:0.34 D#5 C#5 B4 C#5 D#5 | F#5 D#5 C#5 B4 C#5:0.17 D#5 C#5 D#5 | "
    "F#5:0.34 D#5 F#5 G#5 D#5 G#5 | F#5 D#5 C#5 B4:1.4"
)
HELD_BACK_SECONDS = 8.0
SEED = 1
HUMMED = "path/to/your/humming.wav"


def make(run: "Run", corpus: "Corpus") -> None:
    """Play the tune, and draw it below a held-out recording, with the pitch asked and found."""
    from wavenet.audio import pitch, writing
    from wavenet.cli.values import duration
    from wavenet.evaluation.pitch_accuracy import raw_pitch_accuracy
    from wavenet.generation import sources
    from wavenet.generation.api import load
    from wavenet.generation.play import play
    from wavenet.plotting.sound import ASKED, FOUND, Clip, pitches

    model = load(run.folder)
    m, rate = model.config.model, model.sample_rate
    span = max(corpus.validation, key=len)
    held_out = corpus.wav(span)[: round(HELD_BACK_SECONDS * rate)]
    with writing.writer(run.folder / "held-back.wav", rate, {}) as file:
        file.write(held_out)
    tune = play(model, TUNE, SEED)
    tune.save(run.folder / "tune.wav")
    asked = sources.from_text(TUNE, model, sources.How()).values["pitch"]
    recorded, found = (
        pitch.track(wav, rate, m.frame_hop, m.pitch_low_hz, m.pitch_high_hz)
        for wav in (held_out, tune)
    )
    in_tune = f"{raw_pitch_accuracy(asked, found):.0%} in tune"
    recording, played = "a recording it never heard", f"{TITLE}, played by the model: {in_tune}"
    curves = {
        recording: {FOUND: recorded},
        played: {ASKED: asked, FOUND: found},
    }
    picture = run.folder / "demo.png"
    pictured = f"  {picture}       both as spectrograms, and the pitch asked and found"
    clips = {recording: Clip.recording(held_out), played: Clip(tune)}
    try:
        pitches(picture, clips, rate, curves, m.frame_hop)
    except (OutputError, MemoryError) as e:
        pictured = f"  no picture: {reason_of(e)}"
    terminal.result(f"""
after {duration(model.training.seconds)} of training: {TITLE}, \
{in_tune}
  {run.folder / "tune.wav"}       the tune, of which it was given the notes
  {run.folder / "held-back.wav"}  a recording it never heard, to compare the sound
{pictured}""")


def suggestions(run: "Run") -> list[str]:
    """Commands to try next."""
    return [
        command("wavenet", "play", run.folder, "C5:0.5 E5 G5 C6:1", "-o", "mine.wav"),
        command("wavenet", "play", run.folder, HUMMED),
    ]
