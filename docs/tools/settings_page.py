"""Write docs/settings.md: every setting as the code has it, and what the presets make of it.

python -m docs.tools.settings_page
"""

import textwrap
from collections.abc import Iterator
from typing import Any

from docs.tools.generated_page import DOCS, finished
from wavenet.config import loading
from wavenet.config.legacy import LEGACY, Renamed
from wavenet.config.reference import Setting, settings, shown

PAGE = DOCS / "settings.md"


def page() -> str:
    """The page as it should be."""
    return finished(PAGE, "settings_page", "\n\n".join(parts()))


def parts() -> Iterator[str]:
    """The generated part, paragraph by paragraph."""
    presets = {name: loading.load(name) for name in loading.preset_names()}
    values = {name: loading.flatten(preset.to_dict()) for name, preset in presets.items()}
    section = None
    for setting in settings():
        if (own := setting.name.rpartition(".")[0]) != section:
            section = own
            yield f"## {section or 'At the top of a file'}"
        yield from entry(setting, {name: flat.get(setting.name) for name, flat in values.items()})
    yield "## Of earlier versions"
    yield "Files that hold these names still load."
    yield "\n".join(["| was | now |", "| -- | -- |", *former()])


def entry(setting: Setting, of_presets: dict[str, Any]) -> Iterator[str]:
    """The paragraphs about one setting; `of_presets` has its value in each preset."""
    yield f"### {setting.name}"
    default = shown(setting.default)
    unit = f" {setting.unit}" if setting.unit else ""
    yield f"Default `{default}`{'' if setting.default is None else unit}; {setting.rule}."
    yield setting.meaning
    by_value: dict[str, list[str]] = {}
    for preset, value in of_presets.items():
        if shown(value) != default and setting.name not in ("name", "purpose"):
            by_value.setdefault(shown(value), []).append(f"`{preset}`")
    if by_value:
        uses = [f"{value} in {', '.join(names)}" for value, names in by_value.items()]
        yield textwrap.fill(f"Presets: {'; '.join(uses)}.", 100, break_on_hyphens=False)


def former() -> Iterator[str]:
    """A row for each setting that has another name today, or is gone."""
    for name, entry in LEGACY.items():
        if isinstance(entry, Renamed):
            yield f"| `{name}` | `{entry.to}` |"
        else:
            rule = f"gone: `{shown(entry.default)}` is ignored, other values are refused"
            yield f"| `{name}` | {rule}; {entry.instead} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
