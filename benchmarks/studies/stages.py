"""A run's samples early and late, one spectrogram each under the same scale: docs/stages.png.

python -m benchmarks.studies.stages RUN PICTURE STEP...
"""

from pathlib import Path

import soundfile as sf

from benchmarks.arguments import parser
from wavenet.plotting import sound, style
from wavenet.training.run_folder import Run


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", type=Path)
    arguments.add_argument("picture", type=Path)
    arguments.add_argument("steps", type=int, nargs="+")
    options = arguments.parse_args()
    run, picture, steps = Run(options.run), options.picture, options.steps
    scored = {m["step"]: m for m in run.metrics() if m.get("validation_bits") is not None}
    rows = (len(steps) + 1) // 2
    figure = style.blank(11, 2.1 * rows)
    for axes, step in zip(figure.subplots(rows, 2).flat, steps, strict=False):
        wav, rate = sf.read(run.samples / f"step-{step:08d}.wav", dtype="float32")
        sound.spectrogram(axes, wav, rate)
        about = f"step {step:,}, {scored[step]['validation_bits']:.2f} bits per sample"
        axes.set_title(f"{about}; loudest sample {abs(wav).max():.2f}", loc="left", fontsize=9)
    style.save(figure, picture)


if __name__ == "__main__":
    main()
