"""`wavenet presets`: the configurations and the trained models that come with the program."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wavenet.config import Config


def presets() -> None:
    """The configurations and trained models that come with the program."""
    from wavenet.config.loading import load, preset_names
    from wavenet.model import checkpoint, locate

    _heading("preset", "purpose")
    for name in preset_names():
        config = load(name)
        _row(name, config, config.purpose)
    _heading("model", "purpose; play it with `wavenet generate`, train on with --init-from")
    for name, path in locate.bundled().items():
        model = checkpoint.load(path)
        trained = f"trained to step {model.training.step:,}"
        _row(name, model.config, model.config.purpose or trained)
    typer.echo("Every setting: docs/settings.md in the source, and config.toml of any run")


def _heading(first: str, last: str) -> None:
    typer.echo(f"{first:14} {'hears':>7} {'':7} {'parameters':>10}  {last}")


def _row(name: str, config: "Config", purpose: str) -> None:
    from wavenet.model.cost import model_cost

    cost = model_cost(config.model, config.audio.sample_rate)
    hears = f"{cost.receptive_field:>7,} {cost.receptive_field_ms:>4.0f} ms"
    typer.echo(f"{name:14} {hears} {cost.parameters:>10,}  {purpose}")
