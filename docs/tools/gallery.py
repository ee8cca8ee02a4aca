"""The pictures of docs/receptive-field.md, and its patterns of dilation.

    python -m docs.tools.gallery

draws each picture into docs/receptive-field/ and writes each pattern's section of the page, figures
included. A pattern is the preset `small` with a few settings changed. One with the same taps as a
pattern above it is not drawn again. The other pictures are `paper.png`, the preset, and
`measured.png`, a model that comes with the program, measured on recordings that do. It takes half a
minute.
"""

import argparse
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from docs.tools.drawing import palettized
from wavenet.analysis import figure
from wavenet.analysis.report import StackReport
from wavenet.config import loading

ROOT = Path(__file__).parents[2]
PAGE, PICTURES = ROOT / "docs" / "receptive-field.md", ROOT / "docs" / "receptive-field"
BEGIN, END = "<!-- written by docs/tools/gallery.py -->\n", "<!-- end -->\n"
# The model that is measured, and what on.
MODEL, RECORDINGS = "demo-voice", "data/starter/speech/allison"
PITCH = 100.0  # Hz
COLUMNS = 100


class Pattern(NamedTuple):
    """A name, the settings that make it, and words: what it is, and when to use it."""

    name: str
    settings: tuple[str, ...]
    words: str


# The stack on which the variants of layers are shown.
CYCLE = ("model.layers=5", "model.dilation_cycle=16")
PATTERNS = (
    Pattern(
        "doubling with resets",
        ("model.layers=10", "model.dilation_cycle=16"),
        "Each layer looks back twice as far as the one below it, so a cycle of n two-tap layers "
        "hears 2^n samples with a single path to each; then the dilation starts again at 1, which "
        "adds depth and lets far samples meet near ones. The default, and the one to beat: the "
        "field grows exponentially within a cycle and linearly with the number of cycles.",
    ),
    Pattern(
        "an explicit list",
        ("model.dilations=[1,2,4,6,8,10,12]",),
        "Any list of dilations, here one that grows gradually: more layers for the same reach, "
        "and more paths to most samples on the way. For when neighbouring scales should overlap, "
        "or a schedule from a paper is to be rebuilt exactly.",
    ),
    Pattern(
        "gridding",
        ("model.dilations=[4,4,4,4]",),
        "Dilations with a common divisor hear only its multiples: four layers of dilation 4 hear "
        "every fourth sample, like a network at a quarter of the rate without a filter in front. "
        "Shown as the mistake it is; the receptive field alone, 17 samples, does not give it "
        "away, the path count does.",
    ),
    Pattern(
        "gridding, mended",
        ("model.dilations=[1,2,4,4,4,4]",),
        "Two layers with dilations 1 and 2 in front reach every sample between the taps of the "
        "others. This is what the program proposes for a schedule with gaps: layers that double "
        "from 1 until they span the longest gap.",
    ),
    Pattern(
        "irregular: Fibonacci",
        ("model.dilations=[1,2,3,5,8,13]",),
        "Each dilation is the sum of the two before it, so that paths of different lengths meet "
        'in the same samples; model.growth="fibonacci" makes such a schedule for any number of '
        "layers. It grows by 1.62 a layer instead of 2: for the same reach it takes about 1.44 "
        "times as many layers, and in return most samples are reached in more than one way.",
    ),
    Pattern(
        "irregular: coprime",
        ("model.dilations=[1,2,3,5,7,11]",),
        'Dilations without a common divisor share no grid; model.growth="coprime" makes such a '
        "schedule. It helps where layers of similar reach are stacked; coprime dilations that do "
        "not start small leave gaps all the same (3, 5, 11 does), and doubling from 1 has none "
        "and takes fewer layers.",
    ),
    Pattern(
        "a kernel size for each layer",
        ("model.dilations=[1,1,2,4,8]", "model.kernel_size=[3,2,2,2,2]"),
        "A wider kernel in the first layer mixes the newest samples at once, where measured "
        "influence is largest; the others stay cheap. A further tap costs as much state as its "
        "layer's dilation, so wide kernels belong into layers with small ones.",
    ),
    Pattern(
        "dense",
        CYCLE,
        "The plain layer: every tap mixes all channels. The measure for the variants below, which "
        "hear through the same taps unless their picture says otherwise.",
    ),
    Pattern(
        "separable",
        (*CYCLE, 'model.layer="separable"'),
        "First a dilated convolution of every channel on its own, then a product that mixes "
        "channels: further taps cost next to nothing, so wide kernels become affordable. With two "
        "taps it saves just under half of the convolution's products, and what a channel takes "
        "from the past it decides without the others.",
    ),
    Pattern(
        "grouped",
        (*CYCLE, "model.groups=4"),
        "Channels in four groups that do not see each other inside the dilated convolution, and "
        "meet again in the products behind it. A quarter of its weights; worth a try in wide "
        "layers, where what is saved pays for more of them.",
    ),
    Pattern(
        "bottleneck",
        (*CYCLE, 'model.layer="bottleneck"'),
        "Reduce the channels, convolve with dilation, expand again. It saves work where layers "
        "are wide or kernels long; in narrow ones the two further products of a layer eat the "
        "gain.",
    ),
    Pattern(
        "hybrid",
        (*CYCLE, 'model.layer="hybrid"'),
        "Half of the channels listen to the nearest samples, half as far back as the dilation "
        "says: every layer, however high, keeps an eye on the present. It works against gridding "
        "inside the layer, at the price of half the channels for what is far away.",
    ),
    Pattern(
        "smooth",
        (*CYCLE, "model.smooth=true"),
        "What a dilated convolution makes is averaged with what it made a sample before: a causal "
        "two-tap low-pass against the aliasing of widely spaced taps. It widens each layer's "
        "reach by a sample and takes the edge off the highest frequencies, which images may not "
        "miss and consonants do.",
    ),
    Pattern(
        "pyramid",
        (*CYCLE, 'model.context="pyramid"'),
        "Before the head, parallel dilations and a mean over a window of the past look at the "
        "same moment at several scales. One wide step instead of many deep ones: it lengthens the "
        "receptive field without another cycle, but what it hears far back has passed through few "
        "layers.",
    ),
)


def reports() -> Iterator[tuple[Pattern, StackReport, str | None]]:
    """Each pattern, what its stack hears, and the name of its picture.

    No name where a pattern before it has the same taps.
    """
    seen = set()
    for pattern in PATTERNS:
        config = loading.load("small", loading.parse_assignments(pattern.settings))
        offsets = config.model.all_offsets
        picture = None if offsets in seen else picture_name(pattern)
        seen.add(offsets)
        yield pattern, StackReport(pattern.name, config, PITCH), picture


def section(pattern: Pattern, report: StackReport, picture: str | None) -> str:
    """A pattern's part of the page.

    `picture` names its file. It is None where a pattern above has the same taps.
    """
    settings = " ".join(f"--set '{s}'" for s in pattern.settings)
    lines = [
        f"### {pattern.name[0].upper()}{pattern.name[1:]}",
        "",
        textwrap.fill(pattern.words, COLUMNS),
        "",
        "```sh",
        f"wavenet receptive-field small {settings}",
        "```",
        "",
    ]
    if picture is not None:
        alt = f"{pattern.name}: the stack, its taps and the paths to each sample"
        lines += [f"![{alt}](receptive-field/{picture})", ""]
    cost = report.cost
    sizes = (
        f"{cost.parameters:,} parameters, {cost.macs_per_sample:,} multiply-adds, "
        f"{cost.state_bytes:,} bytes of state"
    )
    facts = [f"hears {cost.receptive_field:,} samples", sizes, *report.advice()[1:]]
    remark = "" if picture else "; the taps are those of a pattern above"
    lines += [textwrap.fill(f"*{'; '.join(facts)}{remark}.*", COLUMNS), ""]
    return "\n".join(lines)


def picture_name(pattern: Pattern) -> str:
    words = pattern.name.replace(":", "").replace(",", "")
    return f"{words.replace(' ', '-').lower()}.png"


def measured() -> StackReport:
    """What MODEL hears of RECORDINGS."""
    from wavenet.analysis.effective_receptive_field import measure
    from wavenet.generation.api import load

    model = load(MODEL)
    influence = measure(model, ROOT / RECORDINGS, device="cpu")
    return StackReport(MODEL, model.config, PITCH, replace(influence, source=RECORDINGS))


def draw_all() -> list[Path]:
    """Every picture of the page. Returns where they are."""
    drawn = {picture: report for _, report, picture in reports() if picture}
    drawn["paper.png"] = StackReport("paper", loading.load("paper"), PITCH)
    drawn["measured.png"] = measured()
    PICTURES.mkdir(exist_ok=True)
    for name, report in drawn.items():
        figure.draw(PICTURES / name, report)
        # Of fewer, the shade of a stack would have steps.
        palettized(PICTURES / name, 256)
    return [PICTURES / name for name in drawn]


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=form).parse_args()
    for path in draw_all():
        print(f"{path.name}: {path.stat().st_size // 1000} kB")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    sections = "\n".join(section(*found) for found in reports())
    PAGE.write_text(f"{before}{BEGIN}\n{sections}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
