"""What a shell offers behind Tab for values that have names; for the rest it offers files."""

from collections.abc import Iterable, Iterator
from pathlib import Path


def configs(incomplete: str) -> Iterator[str]:
    """Presets."""
    from wavenet.config.loading import preset_names

    yield from _beginning(preset_names(), incomplete)


def models(incomplete: str) -> Iterator[str]:
    """Models that come with the program, and runs in runs/."""
    from wavenet.model.locate import bundled, is_run

    yield from _beginning(bundled(), incomplete)
    runs = sorted(path for path in Path("runs").glob("*") if is_run(path))
    yield from _beginning(map(str, runs), incomplete)


def sources(incomplete: str) -> Iterator[str]:
    """Whatever has a config: presets, models, runs."""
    yield from configs(incomplete)
    yield from models(incomplete)


def settings(incomplete: str) -> Iterator[str]:
    """Settings by their full names."""
    from wavenet.config.loading import known_keys

    yield from _beginning(known_keys(), incomplete)


def assignments(incomplete: str) -> Iterator[str]:
    """Settings up to their values."""
    yield from (f"{name}=" for name in settings(incomplete))


def _beginning(names: Iterable[str], incomplete: str) -> Iterator[str]:
    return (name for name in names if name.startswith(incomplete))
