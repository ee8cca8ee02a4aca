"""The program: `python -m wavenet`, or `wavenet`."""

from wavenet.system import interrupts


def main() -> None:
    """Run the command line."""
    interrupts.end_at_once()
    from wavenet.cli import app

    app(prog_name="wavenet")


if __name__ == "__main__":
    main()
