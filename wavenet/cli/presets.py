"""`wavenet presets`: the configurations that come with the program."""

import typer


def presets() -> None:
    """The configurations that come with the program."""
    from wavenet.config.loading import load, preset_names
    from wavenet.model.cost import model_cost

    typer.echo(f"{'preset':14} {'hears':>7} {'':7} {'parameters':>10}  purpose")
    for name in preset_names():
        config = load(name)
        cost = model_cost(config.model, config.audio.sample_rate)
        hears = f"{cost.receptive_field:>7,} {cost.receptive_field_ms:>4.0f} ms"
        typer.echo(f"{name:14} {hears} {cost.parameters:>10,}  {config.purpose}")
    typer.echo("Every setting: docs/settings.md in the source, and config.toml of any run")
