"""The train view: runs as they grow, what they sound like, and trainings to start and stop."""

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wavenet.config import loading
from wavenet.errors import RunError, WavenetError, printable
from wavenet.model import cards, checkpoint, locate
from wavenet.studio import runs as shown
from wavenet.studio.processes import Trainings, last_lines
from wavenet.studio.recordings import RecordingFolder, recording_folders
from wavenet.studio.runs import Runs
from wavenet.studio.studio import Studio, json_body

LEAST_MINUTES, MOST_MINUTES = 0.05, 2880.0
MOST_CHARACTERS = 60  # of a run's name
# What learns something from a folder of recordings alone. The other presets are there to compare
# with other programs, or want files beside the recordings.
PRESETS = (
    *("tiny", "small", "small-44k", "instrument", "voices", "vocoder-small"),
    *("music", "paper", "vocoder"),
)
# The models that are made to begin from; those that come with the program besides are behind them.
MODELS = ("base-speech", "base-music", "base-music-44k", "base-instrument")
# Between two searches for recordings.
SEARCH_SECONDS = 10.0


class Start(NamedTuple):
    """What a training may begin with: a trained model, or a preset's settings and nothing."""

    name: str
    purpose: str
    is_model: bool


def routes(studio: Studio) -> list[BaseRoute]:
    view = TrainView(studio)
    return [
        Route("/runs", view.list_runs),
        Route("/runs/{run}", view.show_run),
        Route("/runs/{run}/samples/{name}", view.sample),
        Route("/runs/{run}/stop", view.stop, methods=["POST"]),
        Route("/runs/{run}/resume", view.resume, methods=["POST"]),
        Route("/trainings", view.choices, methods=["GET"]),
        Route("/trainings", view.start, methods=["POST"]),
    ]


class TrainView:
    """What the train view asks for. All that comes from a page is looked up, and never a path."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.trainings = Trainings(studio.root)
        self.runs = Runs(studio, self.trainings)
        self._folders: tuple[list[RecordingFolder], bool] = ([], True)
        self._searched = -math.inf

    def list_runs(self, request: Request) -> Response:
        heads = [self.runs.head(folder) for folder in self.runs.all().values()]
        heads.sort(key=lambda head: (-head["changed"], head["name"]))
        return JSONResponse({"runs": heads, "problems": self.runs.problems})

    def show_run(self, request: Request) -> Response:
        """How far a run is, and what of it a page lacks.

        The page tells in `after` how many lines of the run's log it has seen, of which `edition`,
        and in `sample` from which step on it asks for audio: the last one's picture comes later.
        """
        folder = self.runs.folder(request.path_params["run"])
        query = request.query_params
        after, sample = _number(query.get("after", "0")), _number(query.get("sample", "0"))
        head = self.runs.head(folder)
        answer: dict[str, Any] = {"run": head, "log": last_lines(folder)}
        if not head["config"] and not head["problems"]:
            # Training has not made it yet.
            return JSONResponse(answer | {"is_whole": True, "edition": "", "lines": 0})
        known = self.runs.known(folder)
        answer |= shown.curves(known, after, query.get("edition", ""))
        is_whole = answer["is_whole"]
        answer["samples"] = shown.samples(folder, 0 if is_whole else sample)
        if is_whole:
            answer |= shown.details(folder, known.summary)
        return JSONResponse(answer)

    def sample(self, request: Request) -> Response:
        """A wav or a picture, of which players may ask for parts."""
        folder = self.runs.folder(request.path_params["run"])
        path = shown.sample_file(folder, request.path_params["name"])
        kind = "audio/wav" if path.suffix == ".wav" else "image/png"
        return FileResponse(path, media_type=kind)

    def choices(self, request: Request) -> Response:
        """What a training can be started on, and from what."""
        folders, is_all = self._recording_folders()
        return JSONResponse(
            {
                "root": printable(self.studio.root.absolute()),
                "folders": [{"id": f.id, "name": f.name, "files": f.files} for f in folders],
                "is_all": is_all,
                "starts": [start._asdict() for start in _starts().values()],
                "minutes": {"least": LEAST_MINUTES, "most": MOST_MINUTES},
            }
        )

    async def start(self, request: Request) -> Response:
        given = await json_body(request)
        return await run_in_threadpool(self._start, given)

    def _start(self, given: dict[str, Any]) -> Response:
        _refuse_unknown(given, {"folder", "begin", "minutes", "name"})
        recordings = self._recordings(given.get("folder"))
        start = _start_of(given.get("begin"))
        minutes = _minutes(given.get("minutes"))
        name = _plain_name(given.get("name", ""))
        out = self.runs.home / (name or self._free_name(recordings, start))
        if out.exists() or out in self.trainings.folders():
            raise RunError(out.name, "a run of this name exists", "choose another, or resume it")
        begin = "--init-from" if start.is_model else "--config"
        folders = (recordings.path.absolute(), "--out", out.absolute())
        self.trainings.start(out, [*folders, begin, start.name, "--minutes", f"{minutes:g}"])
        return JSONResponse(self.runs.head(out))

    async def stop(self, request: Request) -> Response:
        return await self._act_on_run(request, self._stop)

    def _stop(self, run: str) -> Response:
        folder = self.runs.folder(run)
        self.trainings.stop(folder)
        return JSONResponse(self.runs.head(folder))

    async def resume(self, request: Request) -> Response:
        return await self._act_on_run(request, self._resume)

    def _resume(self, run: str) -> Response:
        folder = self.runs.folder(run)
        self.runs.look_again(folder)
        head = self.runs.head(folder)
        if head["state"] == "done":
            reason = f"has done all of its {head['steps']:,} steps"
            raise RunError(head["name"], reason, "start another training")
        if head["state"] in ("starting", "training", "stopping"):
            raise RunError(head["name"], "is being trained now")
        if not head["can_resume"]:
            raise RunError(head["name"], "has nothing to go on from", "start another training")
        self.trainings.start(folder, ["--out", folder.absolute()])
        return JSONResponse(self.runs.head(folder))

    async def _act_on_run(self, request: Request, act: Callable[[str], Response]) -> Response:
        """Do what a page asks for with a run, of which it says no more."""
        _refuse_unknown(await json_body(request), set())
        return await run_in_threadpool(act, request.path_params["run"])

    def _recording_folders(self) -> tuple[list[RecordingFolder], bool]:
        if time.monotonic() - self._searched > SEARCH_SECONDS:
            self._folders = recording_folders(self.studio.root)
            self._searched = time.monotonic()
        return self._folders

    def _recordings(self, given: object) -> RecordingFolder:
        for folder in self._recording_folders()[0]:
            if folder.id == given:
                return folder
        advice = "choose one of those that the page lists"
        raise WavenetError("", "no such folder of recordings", advice)

    def _free_name(self, recordings: RecordingFolder, start: Start) -> str:
        """What a run is called that nobody names: as `wavenet train` would, with a number."""
        folder = "".join(c if _is_plain(c) else "-" for c in recordings.path.absolute().name)
        room = MOST_CHARACTERS - len(start.name) - len("--1000")
        name = f"{folder[:room].strip('-.') or 'recordings'}-{start.name}"
        taken = self.trainings.folders()
        for number in range(2, 1000):
            if not (self.runs.home / name).exists() and self.runs.home / name not in taken:
                break
            name = f"{name.removesuffix(f'-{number - 1}')}-{number}"
        return name


@functools.cache
def _starts() -> dict[str, Start]:
    """What a training may begin with, by name; those models first which are made for it."""
    models = locate.bundled()
    starts = [
        Start(name, _purpose(name, models[name]), True)
        for name in dict.fromkeys((*MODELS, *models))
        if name in models
    ]
    presets = [name for name in PRESETS if name in loading.preset_names()]
    starts += [Start(name, loading.load(name).purpose, False) for name in presets]
    return {start.name: start for start in starts}


def _purpose(name: str, path: Path) -> str:
    """What a trained model is for, in its own words or its card's first ones."""
    purpose = checkpoint.load(path, arrays=False).config.purpose
    about = [line.removeprefix("What it is.").strip() for line in cards.card(name)[:1]]
    return purpose or about[0].partition(". ")[0].rstrip(".") if about else purpose


def _start_of(given: object) -> Start:
    start = _starts().get(given) if isinstance(given, str) else None
    if start is None:
        raise WavenetError("", "nothing of this name to begin from", "choose one that is listed")
    return start


def _minutes(given: object) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not (is_number and LEAST_MINUTES <= given <= MOST_MINUTES):  # type: ignore[operator]
        reason = f"must be a number from {LEAST_MINUTES:g} to {MOST_MINUTES:g}"
        raise WavenetError("minutes", reason)
    return float(given)  # type: ignore[arg-type]


def _plain_name(given: object) -> str:
    """A name for a run that is a name in every file system; "" where none is given."""
    if not isinstance(given, str):
        raise WavenetError("name", "must be a text")
    if len(given) > MOST_CHARACTERS:
        raise WavenetError("name", f"is longer than {MOST_CHARACTERS} characters")
    if given and (given[0] in ".-" or given[-1] == "." or not all(map(_is_plain, given))):
        reason = "may have letters, digits, - _ and . (not first)"
        raise WavenetError(f"name {given!r}", reason)
    return given


def _is_plain(character: str) -> bool:
    return character.isalnum() or character in "-_."


def _number(given: str) -> int:
    """A whole number in an address. Raises HTTPException."""
    if not (given.isascii() and given.isdecimal() and len(given) <= 12):
        raise HTTPException(400, "not a whole number")
    return int(given)


def _refuse_unknown(given: dict[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise WavenetError(f"{name!r:.40}", "nothing of this name is asked for")
