"""`wavenet presets`: the configurations that come with the program."""

from wavenet.config.loading import load, preset_names
from wavenet.model.cost import model_cost


def preset_table() -> list[str]:
    """One line per preset: receptive field, parameters, purpose."""
    rows = [("preset", "hears", "", "parameters", "purpose")]
    for name in preset_names():
        config = load(name)
        r = model_cost(config.model, config.audio.sample_rate)
        rows.append(
            (
                name,
                f"{r.receptive_field:,}",
                f"{r.receptive_field_ms:.0f} ms",
                f"{r.parameters:,}",
                config.purpose,
            )
        )
    return [f"{a:14} {b:>7} {c:>7} {d:>10}  {e}" for a, b, c, d, e in rows]
