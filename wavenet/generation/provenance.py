"""Where audio comes from, as text for its file: that it is synthetic, by which model and seed."""

import re
from pathlib import Path

from wavenet.model import locate
from wavenet.model.checkpoint import SUFFIX, Model
from wavenet.version import __version__

# The comment of a file, as `synthetic_tags` makes it.
_COMMENT = re.compile(
    r"made by wavenet (?P<version>\S+): model (?P<model>.+), step (?P<step>\d+)"
    r"(?: \(begun from (?P<begun_from>.+)\))?, seed (?P<seed>\d+)(?:, clip (?P<clip>\d+))?"
)
_NUMBERS = ("step", "seed", "clip")


def model_name(source: Path) -> str:
    """What tags call the model that `source` means: its run folder, or its file without the suffix.

    Never where that lies, which may say more of a machine and its user than they want to tell.
    """
    is_file = not source.is_dir() and (source.is_file() or source.suffix == SUFFIX)
    folder = (source.parent if is_file else source).resolve()
    # A run that has gone has told its name by the form of its checkpoints' paths.
    gone = not folder.exists() and source.stem.startswith("step-")
    if folder.name == "checkpoints" and (gone or locate.is_run(folder.parent)):
        return folder.parent.name
    return source.stem if is_file else folder.name


def synthetic_tags(
    name: str,
    model: Model,
    seed: int,
    *,
    clip: int | None = None,
    lead_seconds: float = 0.0,
    made_from: str = "",
) -> dict[str, str]:
    """The tags of synthetic audio, as `audio.writing.writer` takes them.

    They are texts under the names of soundfile's attributes: title, comment, software. `name` is
    what to call the model, `clip` counts the streams of one seed from 1, `lead_seconds` is the
    length of a recording that stands in front of what was generated, and `made_from` says what
    it follows, such as "mel frames".
    """
    what = "Synthetic audio"
    if made_from:
        what += f" (resynthesis from {made_from})"
    if lead_seconds:
        what += f" after {lead_seconds:.2f} s of a recording"
    draw = f"seed {seed}" if clip is None else f"seed {seed}, clip {clip}"
    software = f"wavenet {__version__}"
    bases = [ancestor.name for ancestor in reversed(model.training.ancestry)]
    begun = f" (begun from {', before that '.join(bases)})" if bases else ""
    origin = f"model {name}, step {model.training.step}{begun}, {draw}"
    return {
        "title": f"{what}: {name}, {draw}",
        "comment": f"{what}, made by {software}: {origin}",
        "software": software,
    }


def read_comment(comment: str) -> dict[str, str | int]:
    """What the comment of synthetic audio says of its origin; {} of another file's.

    By `version`, `model`, `step`, `seed` and, where it has them, `begun_from` and `clip`.
    """
    found = _COMMENT.search(comment)
    parts = {key: text for key, text in found.groupdict().items() if text} if found else {}
    return {key: int(text) if key in _NUMBERS else text for key, text in parts.items()}
