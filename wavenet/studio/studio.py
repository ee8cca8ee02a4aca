"""What the parts of the studio have in common: what it shows, whom it tells, what pages send."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

# Of what a page sends as JSON.
MOST_JSON_BYTES, JSON_SECONDS = 100_000, 20.0
# What comes after that is not read.
CLOSING = {"connection": "close"}


@dataclass
class Studio:
    """What a studio shows, and whom it tells.

    `root` is the folder whose recordings may be trained on, and where runs are made: in its `runs`.
    `places` are runs and folders of runs that the user named; without any, that folder is shown.
    `report` gets a line for each thing that went wrong.
    """

    root: Path
    places: list[Path] = field(default_factory=list)
    report: Callable[[str], None] = print


async def json_body(request: Request) -> dict[str, Any]:
    """The object that a page sent. Raises HTTPException for anything else."""
    body = b""
    try:
        async with asyncio.timeout(JSON_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_JSON_BYTES:
                    raise HTTPException(413, f"more than {MOST_JSON_BYTES:,} bytes", CLOSING)
    except TimeoutError:
        raise HTTPException(408, "it came too slowly", CLOSING) from None
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise HTTPException(400, "not JSON") from None
    if not isinstance(given, dict):
        raise HTTPException(400, "not a JSON object")
    return given
