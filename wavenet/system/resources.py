"""What comes with the program: presets, trained models, and in a checkout the starter recordings.

A checkout has them at its top, under the names that people look for; a wheel has presets and models
under `wavenet/resources/`.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_IN_A_CHECKOUT = {"presets": "configs", "models": "models", "starter": "data/starter"}


def folder(name: str) -> Path:
    """The folder of "presets", "models" or "starter" (recordings). A wheel has no "starter"."""
    shipped = _PACKAGE / "resources" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / _IN_A_CHECKOUT[name]
