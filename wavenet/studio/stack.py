"""The stack view: what one network hears, as JSON.

Everything is computed by `wavenet.analysis`, as for `wavenet receptive-field`. What a page sends is
bounded: numbers by the ranges of the settings, and arrays in what is sent back by the limits here.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, get_args, get_type_hints

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wavenet.analysis.report import StackReport
from wavenet.config import Config, ModelConfig, dilations, loading, reference
from wavenet.errors import ConfigError, CorpusError, EngineError, UsageError
from wavenet.model import checkpoint, locate
from wavenet.studio import stack_drawing as drawing
from wavenet.studio.places import name_of, run_folders
from wavenet.studio.recordings import identity
from wavenet.studio.studio import Studio, json_body
from wavenet.system import resources, shell
from wavenet.training.run_summary import summary_of

# The settings that the page offers.
STACK = ("layers", "dilation_cycle", "growth", "dilations", "kernel_size")
VARIANT = (
    *("layer", "groups", "bottleneck_channels", "smooth"),
    *("context", "pyramid_dilations", "pyramid_window"),
)
WIDTHS = (
    *("residual_channels", "gate_channels", "skip_channels", "head_channels"),
    *("output", "levels", "mixtures"),
)
SETTINGS = {name: f"model.{name}" for name in (*STACK, *VARIANT, *WIDTHS)} | {
    "sample_rate": "audio.sample_rate"
}
PITCH = 100.0  # Hz, as `wavenet receptive-field` has it
# Characters of a number, and of everything else that is no list.
LONGEST_NUMBER, LONGEST_WORD = 12, 200
MAX_LISTED = 1000
# The recordings that come with the program, and what the models that do were trained for.
STARTER_OF = {
    "base-instrument": "instrument",
    "demo-flute": "instrument",
    "base-music": "music",
    "base-music-44k": "music",
    "base-speech": "speech",
    "demo-voice": "speech",
    "demo-vocoder": "speech",
}


class Start(NamedTuple):
    """What a page starts from: `id` is the page's word for it, `source` that of `locate`."""

    kind: str  # preset, model or run
    id: str
    name: str
    source: str


def routes(studio: Studio) -> list[BaseRoute]:
    """What is answered under /api."""
    # One computation at a time, so that many requests cannot take all memory.
    computing, measuring = Lock(), Lock()

    def options(request: Request) -> Response:
        _require_known(request, ())
        return JSONResponse({"starts": _starts(studio), **_settings()})

    def stack(request: Request) -> Response:
        given = _require_known(request, (*SETTINGS, "start", "pitch", "newest"))
        start, overrides, pitch = _start(studio, given), _overrides(given), _pitch(given)
        config = _config(start, overrides)
        with computing:
            report = _report(start.name, config, pitch)
            figures = _described(report)
            tree = drawing.tree(report, _newest(given, config.model))
        as_trained = config.model == _config(start, {}).model
        return JSONResponse(
            {
                "start": start.id,
                "kind": start.kind,
                **figures,
                "tree": tree,
                "measurable_on": _recordings_for(start) if as_trained else [],
                "command": _command(start, overrides, pitch),
            }
        )

    def paths(request: Request) -> Response:
        given = _require_known(request, (*SETTINGS, "start", "pitch", "newest", "lag"))
        start = _start(studio, given)
        config = _config(start, _overrides(given))
        lag = _within(
            "lag", _number("lag", given.get("lag", "")), 0, config.model.receptive_field - 1
        )
        with computing:
            report = _report(start.name, config, _pitch(given))
            return JSONResponse(drawing.paths_to(report, lag, _newest(given, config.model)))

    async def measure(request: Request) -> Response:
        given = await json_body(request)
        if unknown := given.keys() - {"start", "on", "pitch"}:
            raise UsageError(min(unknown)[:LONGEST_NUMBER], None, "is not known here")
        texts = {key: str(value)[:LONGEST_WORD] for key, value in given.items()}
        pitch = _pitch(texts)
        if not measuring.acquire(blocking=False):
            raise EngineError("", "another measurement is going on", "wait until it is done")
        try:
            start = await run_in_threadpool(_start, studio, texts)
            return JSONResponse(await run_in_threadpool(_measured, start, texts.get("on"), pitch))
        finally:
            measuring.release()

    return [
        Route("/stack", stack),
        Route("/stack/options", options),
        Route("/stack/paths", paths),
        Route("/stack/measure", measure, methods=["POST"]),
    ]


def _require_known(request: Request, names: tuple[str, ...]) -> Mapping[str, str]:
    """The parameters of a request, each once. Raises UsageError for others."""
    given = dict(request.query_params)
    for name, _ in request.query_params.multi_items():
        if name not in names:
            advice = loading.nearest(name[:LONGEST_WORD], names) or ""
            raise UsageError(name[:LONGEST_NUMBER], None, "is not known here", advice)
    if len(given) < len(request.query_params.multi_items()):
        raise UsageError("stack", None, "a parameter is given twice")
    return given


def _overrides(given: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a page gives, by their full names."""
    kinds = {s.name: s.type for s in reference.settings()}
    return {
        full: _value(name, kinds[full], given[name])
        for name, full in SETTINGS.items()
        if name in given
    }


def _value(name: str, kind: str, text: str) -> Any:
    """The value of a setting whose type `reference` calls so. Its range is checked later."""
    words = re.findall(r"[^\s,\[\]]+", text)
    if "list of integers" in kind and (len(words) != 1 or not kind.startswith("integer")):
        if len(words) > MAX_LISTED:
            raise UsageError(name, None, f"lists more than {MAX_LISTED:,} numbers")
        return [_number(name, word) for word in words]
    if "integer" in kind:
        return _number(name, words[0] if len(words) == 1 else text)
    return {"true": True, "false": False}.get(text, text[:LONGEST_WORD])


def _config(start: Start, overrides: Mapping[str, Any]) -> Config:
    """The settings to draw. Raises ConfigError, which quotes a long list in short."""
    try:
        return locate.config_of(start.source, overrides)[1]
    except ConfigError as e:
        subject = textwrap.shorten(str(e.subject), LONGEST_WORD, placeholder=" ...")
        raise ConfigError(subject, e.reason, e.advice) from None


def _number(name: str, text: str) -> int:
    if len(text) > LONGEST_NUMBER or not re.fullmatch(r"-?[0-9]+", text):
        raise UsageError(name, repr(text[:LONGEST_NUMBER]), "is not a whole number")
    return int(text)


def _within(name: str, value: float, low: float, high: float) -> Any:
    if not low <= value <= high:
        raise UsageError(name, f"{value:g}", f"must be {low:,g} to {high:,.0f}")
    return value


def _pitch(given: Mapping[str, str]) -> float:
    text = given.get("pitch", f"{PITCH:g}")
    if len(text) > LONGEST_NUMBER or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise UsageError("pitch", repr(text[:LONGEST_NUMBER]), "is not a number in Hz")
    return float(_within("pitch", float(text), 1, 20_000))


def _newest(given: Mapping[str, str], model: ModelConfig) -> int:
    """How many of the newest samples the tree is drawn of: all, unless a page asks for fewer."""
    if "newest" not in given:
        return model.receptive_field
    newest = _within("newest", _number("newest", given["newest"]), 2, 1e12)
    return min(int(newest), model.receptive_field)


def _runs(studio: Studio) -> list[Start]:
    """The runs that the studio shows."""
    folders = run_folders(studio)
    return [Start("run", identity(f), name_of(studio, f), str(f)) for f in folders]


def _start(studio: Studio, given: Mapping[str, str]) -> Start:
    """What a page asks to start from. Raises UsageError for what it was not offered."""
    word = given.get("start", loading.DEFAULT_PRESET)
    if word in loading.preset_names():
        return Start("preset", word, word, word)
    if word in locate.bundled():
        return Start("model", word, word, word)
    for run in _runs(studio):
        if run.id == word:
            return run
    reason = "is no preset, trained model or run that is shown here"
    raise UsageError("start", repr(word[:LONGEST_WORD]), reason)


def _starts(studio: Studio) -> list[dict[str, str]]:
    """What there is to start from."""
    purposes = {name: loading.load(name).purpose for name in loading.preset_names()}
    found = [Start("preset", name, name, name) for name in purposes]
    for name, path in locate.bundled().items():
        purposes[name] = checkpoint.load(path, arrays=False).config.purpose
        found.append(Start("model", name, name, name))
    found += _runs(studio)
    return [
        {
            "kind": start.kind,
            "id": start.id,
            "name": start.name,
            "about": purposes.get(start.id, ""),
        }
        for start in found
    ]


def _settings() -> dict[str, Any]:
    """The settings that the page offers, with their ranges, and how dilations grow."""
    known = {s.name: s for s in reference.settings()}
    hints = get_type_hints(ModelConfig)
    limits = {f.name: f.metadata["range"] for f in fields(ModelConfig) if "range" in f.metadata}
    settings: dict[str, Any] = {}
    for name, full in SETTINGS.items():
        setting = known[full]
        settings[name] = {"meaning": setting.meaning, "rule": setting.rule, "unit": setting.unit}
        if name in limits:
            settings[name] |= {"low": limits[name].low, "high": limits[name].high}
        if setting.type == "choice":
            settings[name]["choices"] = list(get_args(hints[name]))
    cycles = {growth: dilations.cycle(growth, 2**20) for growth in dilations.GROWTHS}
    return {"settings": settings, "cycles": cycles}


@lru_cache(maxsize=8)
def _report(name: str, config: Config, pitch: float) -> StackReport:
    """Kept, since a page that moves through the lags asks of the same stack again and again."""
    return drawing.QuickReport(name, config, pitch)


def _described(report: StackReport) -> dict[str, Any]:
    """The figures of a report, its advice, and its settings."""
    model, cost = report.config.model, report.cost
    settings = {name: getattr(model, name) for name in SETTINGS if name != "sample_rate"}
    heads = [str(dilation) for dilation in model.schedule]
    heads += [f"to {taps[-1]}" for taps in model.all_offsets[len(model.schedule) :]]
    return {
        "name": report.name,
        "settings": settings | {"sample_rate": report.sample_rate},
        "schedule": model.schedule,
        "labels": heads,
        **cost.to_dict(),
        "ms": report.ms(cost.receptive_field),
        "pitch_hz": report.pitch,
        "pitch_periods": report.periods(cost.receptive_field),
        "sample_rate": report.sample_rate,
        "coverage": drawing.coverage(report.path_counts),
        "advice": report.advice(),
    }


def _command(start: Start, overrides: Mapping[str, Any], pitch: float) -> str:
    """What says the same in a terminal."""
    named = Path(start.source) if start.kind == "run" else start.source
    words: list[object] = ["wavenet", "receptive-field", named]
    for name, value in overrides.items():
        text = value if isinstance(value, str) else reference.shown(value).replace(" ", "")
        words += ["--set", f"{name}={text}"]
    words += [] if pitch == PITCH else ["--pitch", f"{pitch:.12g}"]
    return shell.command(*words)


def _recordings_for(start: Start) -> list[str]:
    """What a model can be measured on, as the page calls it, the likeliest first."""
    if start.kind == "preset":
        return []
    if start.kind == "run":
        return ["its own recordings"]
    starter = resources.folder("starter")
    folders = sorted(p.name for p in starter.glob("*") if p.is_dir() and p.name != "LICENSES")
    return sorted(folders, key=lambda name: name != STARTER_OF.get(start.id))


def _folder_for(start: Start, on: str | None) -> Path:
    """The recordings to measure a model on. Raises UsageError and CorpusError."""
    if start.kind == "preset":
        raise UsageError("start", start.id, "is a preset, which has no weights to measure")
    if start.kind == "run":
        recordings = summary_of(Path(start.source)).recordings
        if not recordings or not Path(recordings).exists():
            reason = "the recordings that it was trained on are no longer there"
            raise CorpusError(start.name, reason, recordings and f"they were in {recordings}")
        return Path(recordings)
    known = _recordings_for(start)
    if not known:
        raise CorpusError("", "the starter recordings to measure on come with a checkout only")
    if (on or known[0]) not in known:
        raise UsageError("on", repr(on), f"must be one of {', '.join(known)}")
    return resources.folder("starter") / (on or known[0])


def _measured(start: Start, on: str | None, pitch: float) -> dict[str, Any]:
    """What a trained model uses of its receptive field. Takes seconds."""
    folder = _folder_for(start, on)
    # Loads torch.
    from wavenet.analysis.effective_receptive_field import measure

    model = checkpoint.load(locate.find(Path(start.source)))
    effective = replace(measure(model, folder), source=folder.name)
    report = StackReport(start.name, model.config, pitch, effective)
    return drawing.influence(report, effective)
