"""Tables for the terminal that need nothing but a config: presets and receptive fields."""

from wavenet.config import Config, load, preset_names
from wavenet.receptive import Report, report


def preset_table() -> list[str]:
    """One line per preset: receptive field, parameters, purpose."""
    rows = [("preset", "hears", "", "parameters", "purpose")]
    for name in preset_names():
        config = load(name)
        r = report(config.model, config.audio.sample_rate)
        rows.append((name, f"{r.receptive_field:,}", f"{r.receptive_field_ms:.0f} ms", f"{r.parameters:,}", config.purpose))
    return [f"{a:14} {b:>7} {c:>7} {d:>10}  {e}" for a, b, c, d, e in rows]


def receptive_lines(name: str, config: Config, r: Report) -> list[str]:
    """The receptive field's table, a line per layer."""
    head = [
        f"{name}: hears {r.receptive_field:,} samples = {r.receptive_field_ms:.1f} ms at {config.audio.sample_rate} Hz",
        f"  {r.parameters:,} parameters, {r.macs_per_sample:,} multiply-adds per sample, {r.state_bytes:,} bytes of state per stream",
        "",
        "  layer  dilation  kernel   reach so far",
    ]
    rate = config.audio.sample_rate
    rows = [
        f"  {i + 1:>5}  {layer.dilation:>8}  {layer.kernel_size:>6}   {layer.reach:>6} samples  {1000 * layer.reach / rate:>7.2f} ms"
        for i, layer in enumerate(r.layers)
    ]
    return head + rows
