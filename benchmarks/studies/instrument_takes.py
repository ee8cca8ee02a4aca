"""Recordings of many instruments to train on, played from a sound font.

    python -m benchmarks.studies.instrument_takes SOUNDFONT FOLDER [--takes 4] [--seconds 8]

writes FOLDER/PROGRAM-TAKE.flac at 44.1 kHz, mono, for each instrument below. It needs FluidSynth
and the package pyfluidsynth. FluidR3_GM, the sound font that was used (MIT licence, Frank Wen and
others), is in Debian's fluid-soundfont-gm. Notes are random walks within an instrument's range,
with random velocities and lengths, legato or detached; an instrument that plays chords plays some.
"""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from benchmarks.arguments import parser
from wavenet.glossary import Array

RATE = 44100
PEAK = 0.7  # of full scale
LONGEST_NOTE = 1.2  # s
# General MIDI's numbers from 0: the lowest and the highest note played, and whether in chords.
INSTRUMENTS = {
    **dict.fromkeys((0, 4, 6, 19, 46), (36, 88, True)),  # piano, electric, harpsichord, organ, harp
    **dict.fromkeys((8, 11, 12, 13, 14), (60, 96, True)),  # celesta to tubular bells
    **dict.fromkeys((21, 24, 25, 26, 105), (43, 79, True)),  # accordion, guitars, banjo
    **dict.fromkeys((104, 106, 107, 108), (48, 84, False)),  # sitar, shamisen, koto, kalimba
    **dict.fromkeys((32, 43, 58), (28, 55, False)),  # basses, tuba
    **dict.fromkeys((42, 57, 70), (36, 69, False)),  # cello, trombone, bassoon
    **dict.fromkeys((40, 41, 45, 110), (55, 91, False)),  # violin, viola, pizzicato, fiddle
    **dict.fromkeys((48, 52), (43, 79, True)),  # strings, choir
    **dict.fromkeys((56, 60, 65, 66, 109), (52, 81, False)),  # brass, saxophones, bagpipe
    **dict.fromkeys((68, 71, 73, 74, 75, 79, 111), (58, 93, False)),  # reeds, flutes, ocarina
    **dict.fromkeys((47, 114, 115), (43, 72, False)),  # timpani, steel drums, woodblock
}


def take(synth: Any, program: int, seconds: float, generator: np.random.Generator) -> Array:
    """One take (samples,) of an instrument playing alone."""
    low, high, plays_chords = INSTRUMENTS[program]
    note = int(generator.integers(low, high + 1))
    pieces: list[Array] = []
    length = 0
    while length < seconds * RATE:
        note = int(np.clip(note + generator.integers(-5, 6), low, high))
        chord = [note]
        if plays_chords and generator.random() < 0.3:
            chord += [n for n in (note + 4, note + 7) if n <= high]
        sounding = int(RATE * generator.uniform(0.1, LONGEST_NOTE))
        silent = int(sounding * generator.choice([0.0, 0.0, 0.3, 0.8]))
        for n in chord:
            synth.noteon(0, n, int(generator.integers(45, 121)))
        pieces.append(synth.get_samples(sounding))
        for n in chord:
            synth.noteoff(0, n)
        pieces.append(synth.get_samples(silent))
        length += sounding + silent
    # What still sounds must not ring into the next take.
    synth.get_samples(4 * RATE)
    stereo = np.concatenate(pieces).reshape(-1, 2).astype(np.float32)
    mono: Array = stereo.mean(axis=1)[: round(seconds * RATE)]
    return mono * np.float32(PEAK / np.abs(mono).max())


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("soundfont", type=Path)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--takes", type=int, default=4)
    arguments.add_argument("--seconds", type=float, default=8.0)
    options = arguments.parse_args()
    import fluidsynth

    options.folder.mkdir(parents=True, exist_ok=True)
    synth = fluidsynth.Synth(samplerate=float(RATE), gain=0.5)
    synth.setting("synth.reverb.active", 0)
    synth.setting("synth.chorus.active", 0)
    font = synth.sfload(str(options.soundfont))
    for program in sorted(INSTRUMENTS):
        synth.program_select(0, font, 0, program)
        for i in range(options.takes):
            wav = take(synth, program, options.seconds, np.random.default_rng([program, i]))
            sf.write(options.folder / f"{program:03}-{i}.flac", wav, RATE, subtype="PCM_16")
        print(f"{program:03}: {options.takes} takes of {options.seconds:g} s", flush=True)


if __name__ == "__main__":
    main()
