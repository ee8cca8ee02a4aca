"""`wavenet studio`: a page on this machine that plays models, watches runs and draws stacks."""

from pathlib import Path
from typing import Annotated

import typer

from wavenet.cli import completion, terminal
from wavenet.system import interrupts


def studio(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=completion.models,
            help="Runs, folders of runs or checkpoints to show, besides the models that come with "
            "the program. Default: runs.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The address to listen at. For any but this machine's own, pages need a token, "
            "which is printed.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 7860,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Open no browser.", show_default=False)
    ] = False,
) -> None:
    """Play models, watch runs and look into stacks, in a browser."""
    with terminal.loading("the studio"):
        from wavenet.model import locate
        from wavenet.studio import serving
        from wavenet.studio.studio import Studio

    interrupts.raise_exceptions()
    places = [Path(run) for run in runs or ()]
    for place in places:
        if not place.is_dir():
            locate.find(place)
    root = Path.cwd()
    shown = Studio(root, places, report=lambda line: terminal.warn(f"studio: {line}"))
    serving.serve(shown, host, port, opens_browser=not no_browser, say=terminal.result)
    terminal.status("the studio has stopped; trainings that it started go on")
