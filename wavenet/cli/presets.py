"""`wavenet presets`: the configurations that come with the program."""

from wavenet.config.loading import load, preset_names
from wavenet.model.cost import model_cost


def preset_table() -> list[str]:
    """A heading, and a line per preset: receptive field, parameters, purpose."""
    rows = [("preset", "hears", "", "parameters", "purpose")]
    for name in preset_names():
        config = load(name)
        cost = model_cost(config.model, config.audio.sample_rate)
        samples, ms = f"{cost.receptive_field:,}", f"{cost.receptive_field_ms:.0f} ms"
        rows.append((name, samples, ms, f"{cost.parameters:,}", config.purpose))
    return [
        f"{name:14} {samples:>7} {ms:>7} {parameters:>10}  {purpose}"
        for name, samples, ms, parameters, purpose in rows
    ]
