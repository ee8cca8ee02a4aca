"""Which runs a studio shows, and what it calls them."""

from collections.abc import Callable
from pathlib import Path

from wavenet.errors import RunError, printable
from wavenet.model import locate
from wavenet.studio.processes import log_of
from wavenet.studio.studio import Studio
from wavenet.training.run_summary import runs_in


def run_folders(studio: Studio, report: Callable[[str], object] = lambda _: None) -> list[Path]:
    """Those in the places that the user named, or in `runs`; and those that a studio made there.

    `report` is called with a line for each place that cannot be looked into.
    """
    home = studio.root / "runs"
    found: dict[Path, None] = {}
    for place in studio.places or [home] * home.is_dir():
        # Checkpoints, and names of models that come with the program, are no folders of runs.
        if not place.is_file() and str(place) not in locate.bundled():
            found |= dict.fromkeys(_runs(place, report))
    if studio.places and home.is_dir():
        found |= dict.fromkeys(run for run in _runs(home, report) if log_of(run).exists())
    return list(found)


def name_of(studio: Studio, path: Path) -> str:
    """What a run or a checkpoint is called on pages."""
    for place in (studio.root / "runs", studio.root):
        if path.is_relative_to(place):
            return printable(path.relative_to(place).as_posix())
    return printable(path)


def _runs(place: Path, report: Callable[[str], object]) -> list[Path]:
    try:
        return list(runs_in(place))
    except (RunError, OSError) as e:
        report(printable(e))
        return []
