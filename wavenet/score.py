"""`wavenet evaluate`: bits per sample of recordings under a model, each sample predicted from its exact context.

Recordings are scored in blocks, so that one of any length passes at flat memory. The yardsticks of `baselines` stand beside.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavenet import baselines, distributions, labels, predictors
from wavenet.config import Config
from wavenet.copysynthesis import MOST_VOCODED, Vocoded, say_again, vocoded_lines
from wavenet.corpus import TAILS_FRACTION, TAILS_MIN_SECONDS
from wavenet.distributions import Distribution
from wavenet.engines.options import EngineOptions
from wavenet.errors import CorpusError, EngineError
from wavenet.pcm_cache import Index, Skipped, as_wav, index_folder
from wavenet.predictors import Nats, Stretch
from wavenet.progress import LAYOUT_WITHOUT_COUNT, bar
from wavenet.run import Run
from wavenet.sampler import load
from wavenet.shapes import Array, Samples

BLOCK_SAMPLES = 1 << 15  # scored at once
SPLITS = ("all", "tails")


@dataclass(frozen=True)
class EvaluateRequest:
    """What the user asked `wavenet evaluate` for."""

    model: Path
    folder: Path
    split: str = "all"
    engine: str = "parallel"
    device: str = "auto"
    cache: Path | None = None
    label_from: str | None = None  # how recordings are labelled, if not as in training
    label: str | None = None  # one label for all of them instead
    vocoded: int = 8  # recordings that a vocoder says again, to be compared with
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True)
class FileScore:
    """One recording's figure."""

    file: str
    samples: int
    bits_per_sample: float


@dataclass
class Totals:
    """Sums over recordings so far."""

    samples: int = 0
    nats: float = 0.0
    finer_bits: float = 0.0  # between the codes and 16-bit samples
    lpc_bits: float = 0.0
    learnt: Array = field(default_factory=lambda: np.zeros(()))  # pairs of codes that the frequencies are counted on
    scored: Array = field(default_factory=lambda: np.zeros(()))


@dataclass(frozen=True)
class Score:
    """A folder's figures, in bits per sample; those of `baselines` are of the same samples."""

    bits_per_sample: float
    bits_per_16bit_sample: float  # the same where the codes are 16-bit samples, else what telling those of a code apart would add
    unigram_bits: float
    bigram_bits: float
    lpc_bits: float
    samples: int
    files: tuple[FileScore, ...]
    skipped: tuple[Skipped, ...]
    vocoded: Vocoded | None = None


def evaluate(request: EvaluateRequest, as_json: bool = False) -> Iterator[str]:
    """Score and compare. Yields lines to print: a line per recording and a summary, or one JSON object. Raises WavenetError."""
    if request.split not in SPLITS:
        raise CorpusError(f"--split {request.split}: must be all (every sample) or tails (the last tenth of files over one second)")
    model = load(request.model)
    config = model.config
    _require_sense(request, config)
    nats = predictors.scorer(model, request.engine, request.device, request.options)
    tails = request.split == "tails"
    index = index_folder(request.folder, config.audio, trim=False, cache=request.cache)
    pcm = index.pcm()
    spans = [(r, int(r.samples * (1 - TAILS_FRACTION)) if tails else 0) for r in index.recordings]
    spans = [(r, start) for r, start in spans if not tails or r.samples > TAILS_MIN_SECONDS * index.sample_rate]
    if not spans:
        raise CorpusError(f"{request.folder}: --split tails needs recordings over {TAILS_MIN_SECONDS:g} s; use --split all")
    told = _labels(request, index, config)
    totals, files = Totals(), []
    if not as_json:
        yield f"checkpoint of step {model.training.step} on {len(spans)} recordings of {index.folder} at {index.sample_rate} Hz"
        yield f"{'bits':>7} {'samples':>11}  file"
    with bar(sum(r.samples - start for r, start in spans), layout=LAYOUT_WITHOUT_COUNT, leave=False) as progress:
        for recording, start in spans:
            whole = pcm[recording.offset : recording.offset + recording.samples]
            found = _score(recording.name, whole, start, told.get(recording.name, 0), config, nats, totals, progress.update)
            files.append(found)
            if not as_json:
                progress.clear()
                yield f"{found.bits_per_sample:>7.3f} {found.samples:>11,}  {found.file}"
    unigram, bigram = baselines.pair_bits(totals.learnt, totals.scored, distributions.of(config.model), prior=0.1 if tails else 0.0)
    bits = totals.nats / totals.samples / math.log(2)
    whole_bits, lpc = bits + totals.finer_bits / totals.samples, totals.lpc_bits / totals.samples
    score = Score(bits, whole_bits, unigram, bigram, lpc, totals.samples, tuple(files), index.skipped)
    if not as_json:
        yield "\n".join(_summary(score, index, tails))
        if known := _trained_on(request, index, config):
            yield f"note: the run was trained on {known} of these recordings"
    if config.model.mel_bands and request.vocoded:
        some = [(pcm[r.offset + start : r.offset + r.samples], told.get(r.name, 0)) for r, start in spans[: request.vocoded]]
        try:
            score = replace(score, vocoded=say_again(model, some, request.engine, request.options))
        except KeyboardInterrupt:
            yield from () if as_json else ("interrupted: nothing was said again",)
    if as_json:
        yield json.dumps(asdict(score), indent=1)
    elif score.vocoded:
        yield from vocoded_lines(score.vocoded)


def _require_sense(request: EvaluateRequest, config: Config) -> None:
    """Raise EngineError for options that would mean nothing here."""
    if not 0 <= request.vocoded <= MOST_VOCODED:
        raise EngineError(f"--vocoded {request.vocoded}: must be 0 (none) to {MOST_VOCODED} recordings")
    if request.label_from is not None and request.label is not None:
        raise EngineError("--label-from and --label: give one of them")
    if request.label_from is not None and not config.model.labels:
        raise EngineError("--label-from: the model was trained without labels; leave it out")


def _summary(score: Score, index: Index, tails: bool) -> Iterator[str]:
    for s in score.skipped:
        yield f"{'skipped':>19}  {s.name}: {s.reason}"
    if left_out := len(index.recordings) - len(score.files):
        yield f"{left_out} recordings of {TAILS_MIN_SECONDS:g} s or less left out"
    what = "the last tenth of each, after hearing the rest" if tails else "every sample"
    seconds = score.samples / index.sample_rate
    fine = score.bits_per_16bit_sample == score.bits_per_sample
    unit = "16-bit sample" if fine else "sample"
    yield f"{score.bits_per_sample:.3f} bits per {unit} over {score.samples:,} samples ({seconds:.1f} s): {what}"
    if not fine:
        yield f"{score.bits_per_16bit_sample:.3f} bits per 16-bit sample, with those of one level alike: to compare with 16-bit models"
    how = "counted on the first nine tenths" if tails else "counted on the same samples"
    yield f"{score.unigram_bits:.3f} by how often each level occurs, {score.bigram_bits:.3f} knowing the sample before ({how})"
    yield f"{score.lpc_bits:.3f} by linear prediction of order {baselines.ORDER}"


def _labels(request: EvaluateRequest, index: Index, config: Config) -> dict[str, int]:
    """Which of the model's labels each recording has. Raises WavenetError."""
    known, names = config.model.labels, [r.name for r in index.recordings]
    if request.label is not None:
        return dict.fromkeys(names, labels.choose([request.label], known)[0])
    if not known:
        return {}
    try:
        found = labels.read(names, index.folder, request.label_from or config.train.label_from)
    except CorpusError as e:
        raise CorpusError(f"{e}; or --label with one for all of them") from None
    for name, label in found.items():
        if label not in known:
            raise CorpusError(
                f"{index.folder}: {name} has the label {label}, and the model knows {labels.labels_line(known)}; --label gives one to all"
            )
    return {name: known.index(label) for name, label in found.items()}


def _score(
    name: str,
    pcm: NDArray[np.int16],
    start: int,
    label: int,
    config: Config,
    nats: Nats,
    totals: Totals,
    advance: Callable[[int], object],
) -> FileScore:
    """Score one recording from sample `start` on, and add what the yardsticks need to the totals."""
    reach, stop = config.model.receptive_field, len(pcm)
    distribution = distributions.of(config.model)
    coarse = distribution.coarse
    hop = config.model.mel_hop if config.model.mel_bands else 1

    def blocks(kind: Distribution, begin: int, end: int, overlap: int = 0) -> Iterator[Samples]:
        for at in range(begin, end, BLOCK_SAMPLES):
            yield kind.encode(as_wav(pcm[max(0, at - overlap) : min(end, at + BLOCK_SAMPLES)]))

    found = 0.0
    for at in range(start, stop, BLOCK_SAMPLES):
        begin, end = max(0, at - reach) // hop * hop, min(stop, at + BLOCK_SAMPLES)
        x = distribution.encode(as_wav(pcm[begin:end]))
        found += nats(Stretch(x, at - begin, pcm, begin, label))
        totals.finer_bits += float(distribution.finer_bits(x[at - begin :]).sum())
        advance(end - at)
    known = start or stop  # what frequencies and predictors are learnt from: what came before, else the recording itself
    totals.learnt = totals.learnt + baselines.pairs(blocks(coarse, 1, known, overlap=1), coarse.levels)
    totals.scored = totals.scored + baselines.pairs(blocks(coarse, max(1, start), stop, overlap=1), coarse.levels)
    sums = baselines.autocorrelation(distribution.decode(x).astype(np.float64) for x in blocks(distribution, 0, known))
    bits, at = baselines.lpc_bits(blocks(distribution, 0, stop), baselines.predictor(sums), distribution), 0
    for block in bits:
        totals.lpc_bits += float(block[max(0, start - at) :].sum())
        at += len(block)
    totals.nats += found
    totals.samples += stop - start
    return FileScore(name, stop - start, found / (stop - start) / math.log(2))


def _trained_on(request: EvaluateRequest, index: Index, config: Config) -> int:
    """How many of the recordings the run has trained on, as far as its folder tells; with tails held out, none."""
    if request.split == config.train.validation == "tails":
        return 0
    known = Run(request.model if request.model.is_dir() else request.model.parent.parent).corpus()
    unused = {*known.get("held_out", []), *known.get("left_out", [])}
    trained = {sha for name, sha in known.get("recordings", {}).items() if name not in unused}
    return sum(r.sha256 in trained for r in index.recordings)
