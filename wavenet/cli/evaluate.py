"""`wavenet evaluate`: how well a model predicts recordings, as lines of text or as JSON."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wavenet.cli import options, standard_input, terminal
from wavenet.cli.outputs import identity, print_json
from wavenet.errors import UsageError, WavenetError
from wavenet.system import interrupts
from wavenet.system.text import counted
from wavenet.version import __version__

if TYPE_CHECKING:
    from wavenet.config import Config
    from wavenet.data.pcm_cache import Index
    from wavenet.data.selection import Selection
    from wavenet.data.split import Span
    from wavenet.data.tracks import Tracks
    from wavenet.engines.options import EngineOptions
    from wavenet.evaluation.copy_synthesis import CopySynthesisScore
    from wavenet.evaluation.likelihood import Likelihood, Score
    from wavenet.model.checkpoint import Model


def evaluate(
    model: options.ModelArgument,
    folder: Annotated[
        list[Path],
        typer.Argument(
            help="Recordings to score: folders, searched whole, and files; - is standard input.",
        ),
    ],
    split: Annotated[
        Literal["all", "tails"],
        typer.Option(help="all: every sample; tails: the last tenth of files over one second."),
    ] = "all",
    engine: Annotated[
        Literal["parallel", options.EngineName],
        typer.Option(
            help="parallel, or one that generates: auto, triton (a GPU), numba, cuda-graph (a GPU) "
            "or reference. All give the same figure."
        ),
    ] = "parallel",
    device: options.DeviceOption = "auto",
    cache: options.CacheOption = None,
    label_from: Annotated[
        str | None,
        typer.Option(help="How recordings are labelled, if not as in training; see train."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="One label for all of them instead.")] = None,
    frames_from: Annotated[
        str | None,
        typer.Option(help="Mel frames from a folder, a .npy for each recording; see train."),
    ] = None,
    vocoded: Annotated[
        int,
        typer.Option(
            help="Recordings for a vocoder to resynthesise and compare, up to 10 s of each."
        ),
    ] = 8,
    precision: Annotated[
        Literal["auto", "bf16", "fp32"],
        typer.Option(
            help="Of an --engine that generates: fp32, as trained, or bf16, which auto means: "
            "rounded, as `generate` plays it."
        ),
    ] = "fp32",
    threads: options.ThreadsOption = 0,
    as_json: options.JsonOption = False,
) -> None:
    """How well a model predicts recordings: bits per sample, beside simple baselines."""
    with terminal.loading("PyTorch"):
        from wavenet.data.selection import Selection
        from wavenet.engines.options import say_nothing
        from wavenet.evaluation.likelihood import Likelihood, label_ids, spans_to_score
        from wavenet.evaluation.scorers import create_scorer
        from wavenet.evaluation.training_recordings import trained_on
        from wavenet.generation.api import load
        from wavenet.generation.provenance import model_name
        from wavenet.model import locate

    say: Callable[[str], object] = say_nothing if as_json else terminal.result
    tell: Callable[[str], object] = say_nothing if as_json else terminal.status
    engine_options = options.engine_options(precision, threads)
    checkpoint = load(model)
    config = checkpoint.config
    _check(config, split, label_from, label, frames_from, vocoded)
    piped = any(map(standard_input.is_meant, folder))
    if piped and len(folder) > 1:
        raise UsageError("folder", standard_input.DASH, "is scored alone", "leave out the others")
    with standard_input.as_file(piped, "folder") as copy, standard_input.named(copy):
        recordings = Selection.of(copy or folder)
        with terminal.loading("PyTorch" if engine == "parallel" else "the engine"):
            scorer = create_scorer(checkpoint, engine, device, engine_options)
        interrupts.raise_exceptions()
        # What comes once is not kept.
        folder_of_cache = copy.parent / "cache" if copy and cache is None else cache
        index, config, tracks = _indexed(checkpoint, recordings, folder_of_cache, frames_from)
        if frames_from is None and config.train.frames_from:
            origin = f"the model was trained on frames from {config.train.frames_from}"
            tell(f"note: {origin}, these are computed from the audio (--frames-from)")
        spans = spans_to_score(index, split, label_ids(index, config, label_from, label))
        place = standard_input.NAME if copy else index.selection
        where = f"{counted(len(spans), 'recording')} of {place} at {index.sample_rate} Hz"
        tell(f"checkpoint of step {checkpoint.training.step} on {where}")
        trained = trained_on(model, checkpoint, index, split)
        _note_trained_on(_count(spans, trained), len(spans), as_json)
        likelihood = Likelihood(index, config, scorer, tracks)
        done = spans[: _add(likelihood, spans, say)]
        interrupted = len(done) < len(spans)
        if not done:
            raise KeyboardInterrupt
        score, seen = likelihood.summary(), _count(done, trained)
        excited = config.model.linear_prediction > 0
        say("\n".join(_score_lines(score, index, split, seen, len(spans), excited)))
        if config.model.follows_mel and vocoded and not interrupted:
            try:
                copies = _copies(checkpoint, index, spans[:vocoded], tracks, engine, engine_options)
            except KeyboardInterrupt:
                interrupted = True
                tell("interrupted: nothing was resynthesised")
            else:
                score = replace(score, vocoded=copies)
                say("\n".join(_copy_synthesis_lines(copies)))
    if as_json:
        about = {
            "model": model_name(model),
            "path": str(locate.find(model)),
            "step": checkpoint.training.step,
            "sample_rate": index.sample_rate,
            "folder": str(standard_input.DASH if copy else index.folder),
            "paths": [] if copy else list(index.selection.paths),
            "split": split,
            "engine": engine,
            "precision": precision,
            "trained_on": seen,
            "interrupted": interrupted,
            "version": __version__,
        }
        print_json(about | _as_dict(score))
    if interrupted:
        raise typer.Exit(130)
    named = set(map(identity, folder))
    if any(identity(index.folder / skipped.name) in named for skipped in index.skipped):
        raise typer.Exit(1)


def _indexed(
    checkpoint: "Model", recordings: "Selection", cache: Path | None, frames_from: str | None
) -> "tuple[Index, Config, Tracks]":
    """The recordings, decoded as the model's were, with what is followed along them."""
    from wavenet.data.pcm_cache import index_folder
    from wavenet.data.tracks import attach

    index = index_folder(
        recordings,
        checkpoint.config.audio,
        trim=False,
        cache=cache,
        version=checkpoint.training.decoding,
        wait_seconds=-1,
        on_wait=terminal.warn,
    )
    return attach(index, checkpoint.config, frames_from or "")


def _note_trained_on(seen: int, count: int, as_json: bool) -> None:
    """Say that `seen` of `count` recordings were trained on, if any were."""
    if seen:
        # Programs read the standard output.
        note = terminal.warn if as_json else terminal.status
        which = f"{seen} of these recordings" if count > 1 else "this recording"
        note(f"note: the model was trained on {which}")


def _as_dict(score: "Score") -> dict[str, Any]:
    """A score for JSON."""
    skipped = [{"file": s.name, "reason": s.reason} for s in score.skipped]
    return asdict(score) | {"skipped": skipped}


def _count(spans: "Sequence[Span]", names: Collection[str]) -> int:
    """How many spans are of recordings of these names."""
    return sum(span.recording.name in names for span in spans)


def _add(likelihood: "Likelihood", spans: "Sequence[Span]", say: Callable[[str], object]) -> int:
    """Score spans under a progress bar, a line for each; how many of them before Ctrl-C."""
    from wavenet.system.progress import bar

    say(f"{'bits':>7} {'samples':>11}  file")
    done = 0
    with bar(sum(map(len, spans)), counted=False, leave=False) as progress:
        try:
            for span in spans:
                file = likelihood.add(span, progress.update)
                done += 1
                progress.clear()
                say(f"{file.bits_per_sample:>7.3f} {file.samples:>11,}  {file.file}")
        except KeyboardInterrupt:
            return done
    return done


def _copies(
    checkpoint: "Model",
    index: "Index",
    spans: "Sequence[Span]",
    tracks: "Tracks",
    engine: str,
    engine_options: "EngineOptions",
) -> "CopySynthesisScore":
    """The beginnings of spans, resynthesised under a progress bar."""
    from wavenet.data.tracks import source_of
    from wavenet.evaluation.copy_synthesis import MAX_SECONDS, resynthesize
    from wavenet.generation.conditions import Conditions
    from wavenet.system.progress import bar

    longest = round(MAX_SECONDS * index.sample_rate)
    excerpts = [(index.pcm(s.recording)[s.start :][:longest], s.label) for s in spans]
    conditions = [
        Conditions.from_source(
            source_of(index, span, tracks), span.start, len(pcm), checkpoint.config
        )
        for span, (pcm, _) in zip(spans, excerpts, strict=True)
    ]
    with bar(sum(c.samples for c in conditions), counted=False, leave=False) as shown:
        return resynthesize(checkpoint, excerpts, engine, engine_options, shown.update, conditions)


def _check(
    config: "Config",
    split: str,
    label_from: str | None,
    label: str | None,
    frames_from: str | None,
    vocoded: int,
) -> None:
    """Raise WavenetError for options that mean nothing, to this model or at all."""
    from wavenet.evaluation.copy_synthesis import MAX_RECORDINGS
    from wavenet.evaluation.likelihood import SPLITS
    from wavenet.generation.mel_frames import require_mel

    if split not in SPLITS:
        reason = "must be all (every sample) or tails (the last tenth of files over one second)"
        raise UsageError("split", split, reason)
    if not 0 <= vocoded <= MAX_RECORDINGS:
        raise UsageError("vocoded", vocoded, f"must be 0 (none) to {MAX_RECORDINGS} recordings")
    if label_from is not None and label is not None:
        raise WavenetError("`label_from` and `label`", "give one of them")
    if frames_from is not None:
        require_mel(config)
    if label_from is not None and not config.model.labels:
        raise UsageError("label_from", None, "the model was trained without labels", "leave it out")


def _score_lines(
    score: "Score", index: "Index", split: str, seen: int, wanted: int, excited: bool
) -> Iterator[str]:
    """What was scored, its bits per sample, and those of the baselines.

    `seen` recordings were trained on. `wanted` were to be scored, more than were after Ctrl-C. The
    model may predict what excites a linear prediction.
    """
    from wavenet.data.baselines import ORDER
    from wavenet.data.split import TAILS_MIN_SECONDS

    for skipped in score.skipped:
        yield f"{'skipped':>19}  {skipped.name}: {skipped.reason}"
    if len(score.files) < wanted:
        yield f"interrupted: {len(score.files)} of {wanted} recordings were scored"
    if left_out := len(index.recordings) - wanted:
        yield f"{counted(left_out, 'recording')} of {TAILS_MIN_SECONDS:g} s or less left out"
    what, how = "every sample", "counted on the same samples"
    if split == "tails":
        what = "the last tenth of each, after hearing the rest"
        how = "counted on the first nine tenths"
    if seen:
        count = len(score.files)
        which = f"{seen} of the {count} recordings were" if count > 1 else "it was"
        what += f"; {which} trained on"
    length = f"{score.samples:,} samples ({score.samples / index.sample_rate:.1f} s)"
    bits, bits_16bit = score.bits_per_sample, score.bits_per_16bit_sample
    unit = "16-bit sample" if bits_16bit == bits else "sample"
    if excited:
        unit += " of the excitation"
    yield f"{bits:.3f} bits per {unit} over {length}: {what}"
    if bits_16bit != bits:
        how_so = "with those of one level alike: to compare with 16-bit models"
        yield f"{bits_16bit:.3f} bits per 16-bit sample, {how_so}"
    before = f"{score.bigram_bits:.3f} knowing the sample before ({how})"
    yield f"{score.unigram_bits:.3f} by how often each level occurs, {before}"
    yield f"{score.lpc_bits:.3f} by linear prediction of order {ORDER}"


def _copy_synthesis_lines(score: "CopySynthesisScore") -> Iterator[str]:
    """The metrics of the model, and those of Griffin-Lim."""
    from wavenet.evaluation.metrics import optional

    whose = "its" if score.recordings == 1 else "their"
    frames = f"{whose} mel frames ({score.seconds:.1f} s), and by Griffin-Lim from the same frames"
    yield f"{counted(score.recordings, 'recording')} resynthesised from {frames}:"
    heads = ("convergence", "log-STFT dB", "mel dB", "STOI", "PESQ", "F0 %", "V/UV %")
    columns = [terminal.Column(""), *(terminal.Column(head, right=True) for head in heads)]
    rows = []
    for name, m in (("this model", score.model), ("Griffin-Lim", score.griffin_lim)):
        distances = (f"{m.spectral_convergence:.3f}", f"{m.log_stft_db:.2f}", f"{m.mel_db:.2f}")
        heard = ("-" if value is None else f"{value:.3f}" for value in (m.stoi, m.pesq))
        pitch = (m.pitch_accuracy, m.voicing_error)
        percent = ("-" if value is None else f"{100 * value:.1f}" for value in pitch)
        rows.append([name, *distances, *heard, *percent])
    yield from terminal.table(columns, rows)
    if not (optional("pystoi") and optional("pesq")):
        yield "(STOI and PESQ need pip install 'wavenet-audio[metrics]')"
