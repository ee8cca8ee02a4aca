"""`wavenet evaluate`: bits per sample of recordings under a model, each sample predicted from its exact context.

Recordings are scored in blocks, so that one of any length passes at flat memory. The yardsticks of `baselines` stand beside.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavenet import baselines
from wavenet.checkpoint import Checkpoint
from wavenet.config import Config
from wavenet.corpus import TAILS_FRACTION, TAILS_MIN_SECONDS
from wavenet.distributions import Categorical
from wavenet.engines import pick
from wavenet.engines.options import EngineOptions
from wavenet.engines.packed import require_finite
from wavenet.errors import CheckpointError, CorpusError, EngineError
from wavenet.pcm_cache import Index, Skipped, as_wav, index_folder
from wavenet.progress import LAYOUT_WITHOUT_COUNT, bar
from wavenet.receptive import receptive_field
from wavenet.run import Run
from wavenet.sampler import load
from wavenet.shapes import Array, Params, Samples

BLOCK_SAMPLES = 1 << 15  # scored at once
FEED_SAMPLES = 1 << 12  # fed to an engine at once
SPLITS = ("all", "tails")
Nats = Callable[[Samples, int], float]  # codes (time,), how many of the first are context -> summed nats of the rest


@dataclass(frozen=True)
class EvaluateRequest:
    """What the user asked `wavenet evaluate` for."""

    model: Path
    folder: Path
    split: str = "all"
    engine: str = "parallel"
    device: str = "auto"
    cache: Path | None = None
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
    lpc_bits: float = 0.0
    learnt: Array = field(default_factory=lambda: np.zeros(()))  # pairs of codes that the frequencies are counted on
    scored: Array = field(default_factory=lambda: np.zeros(()))


@dataclass(frozen=True)
class Score:
    """A folder's figures, in bits per sample; those of `baselines` are of the same samples."""

    bits_per_sample: float
    unigram_bits: float
    bigram_bits: float
    lpc_bits: float
    samples: int
    files: tuple[FileScore, ...]
    skipped: tuple[Skipped, ...]


def evaluate(request: EvaluateRequest, as_json: bool = False) -> Iterator[str]:
    """Score and compare. Yields lines to print: a line per recording and a summary, or one JSON object. Raises WavenetError."""
    if request.split not in SPLITS:
        raise CorpusError(f"--split {request.split}: must be all (every sample) or tails (the last tenth of files over one second)")
    if not request.model.exists():
        raise CheckpointError(f"{request.model}: no such run or checkpoint; `wavenet train` makes one")
    model = load(request.model)
    config = model.config
    nats = _scorer(request, model)
    tails = request.split == "tails"
    index = index_folder(request.folder, config.audio, trim=False, cache=request.cache)
    pcm = index.pcm()
    spans = [(r, int(r.samples * (1 - TAILS_FRACTION)) if tails else 0) for r in index.recordings]
    spans = [(r, start) for r, start in spans if not tails or r.samples > TAILS_MIN_SECONDS * index.sample_rate]
    if not spans:
        raise CorpusError(f"{request.folder}: --split tails needs recordings over {TAILS_MIN_SECONDS:g} s; use --split all")
    totals, files = Totals(), []
    if not as_json:
        yield f"checkpoint of step {model.training.step} on {len(spans)} recordings of {index.folder} at {index.sample_rate} Hz"
        yield f"{'bits':>7} {'samples':>11}  file"
    with bar(sum(r.samples - start for r, start in spans), layout=LAYOUT_WITHOUT_COUNT, leave=False) as progress:
        for recording, start in spans:
            whole = pcm[recording.offset : recording.offset + recording.samples]
            found = _score(recording.name, whole, start, config, nats, totals, progress.update)
            files.append(found)
            if not as_json:
                progress.clear()
                yield f"{found.bits_per_sample:>7.3f} {found.samples:>11,}  {found.file}"
    unigram, bigram = baselines.pair_bits(totals.learnt, totals.scored, prior=0.1 if tails else 0.0)
    bits = totals.nats / totals.samples / math.log(2)
    score = Score(bits, unigram, bigram, totals.lpc_bits / totals.samples, totals.samples, tuple(files), index.skipped)
    yield json.dumps(asdict(score), indent=1) if as_json else "\n".join(_summary(score, index, tails))
    if not as_json and (known := _trained_on(request, index, config)):
        yield f"note: the run was trained on {known} of these recordings"


def _summary(score: Score, index: Index, tails: bool) -> Iterator[str]:
    for s in score.skipped:
        yield f"{'skipped':>19}  {s.name}: {s.reason}"
    if left_out := len(index.recordings) - len(score.files):
        yield f"{left_out} recordings of {TAILS_MIN_SECONDS:g} s or less left out"
    what = "the last tenth of each, after hearing the rest" if tails else "every sample"
    seconds = score.samples / index.sample_rate
    yield f"{score.bits_per_sample:.3f} bits per sample over {score.samples:,} samples ({seconds:.1f} s): {what}"
    how = "counted on the first nine tenths" if tails else "counted on the same samples"
    yield f"{score.unigram_bits:.3f} by how often each level occurs, {score.bigram_bits:.3f} knowing the sample before ({how})"
    yield f"{score.lpc_bits:.3f} by linear prediction of order {baselines.ORDER}"


def _score(
    name: str, pcm: NDArray[np.int16], start: int, config: Config, nats: Nats, totals: Totals, advance: Callable[[int], object]
) -> FileScore:
    """Score one recording from sample `start` on, and add what the yardsticks need to the totals."""
    levels, reach, stop = config.model.levels, receptive_field(config.model.schedule, config.model.kernel_size), len(pcm)
    distribution = Categorical(levels)

    def codes(begin: int, end: int) -> Samples:
        return distribution.encode(as_wav(pcm[begin:end]))

    def blocks(begin: int, end: int, overlap: int = 0) -> Iterator[Samples]:
        return (codes(max(0, at - overlap), min(end, at + BLOCK_SAMPLES)) for at in range(begin, end, BLOCK_SAMPLES))

    found = 0.0
    for at in range(start, stop, BLOCK_SAMPLES):
        begin, end = max(0, at - reach), min(stop, at + BLOCK_SAMPLES)
        found += nats(codes(begin, end), at - begin)
        advance(end - at)
    known = start or stop  # what frequencies and predictors are learnt from: what came before, else the recording itself
    totals.learnt = totals.learnt + baselines.pairs(blocks(1, known, overlap=1), levels)
    totals.scored = totals.scored + baselines.pairs(blocks(max(1, start), stop, overlap=1), levels)
    sums = baselines.autocorrelation(distribution.decode(x).astype(np.float64) for x in blocks(0, known))
    bits, at = baselines.lpc_bits(blocks(0, stop), baselines.predictor(sums), levels), 0
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


# --- ways to predict ---------------------------------------------------------------------------------------------------


def _scorer(request: EvaluateRequest, model: Checkpoint) -> Nats:
    """The parallel forward pass for `parallel`, else an engine fed sample by sample: the same figure, and its own test."""
    require_finite(model.weights)
    if request.engine != "parallel" and request.device != "auto":
        raise EngineError(f"--device {request.device}: --engine {request.engine} picks its own; only parallel takes one")
    if request.engine == "parallel" and request.options.precision != "fp32":
        raise EngineError(f"--precision {request.options.precision}: only engines take one; add --engine numba")
    if request.engine == "parallel" and request.options.threads:
        raise EngineError(f"--threads {request.options.threads}: only engines take a number; add --engine numba")
    return _parallel(request.device, model) if request.engine == "parallel" else _by_engine(request, model)


def _parallel(device_name: str, model: Checkpoint) -> Nats:
    import torch

    from wavenet.device import pick_device
    from wavenet.model import WaveNet

    device = pick_device(device_name)
    network = WaveNet.from_arrays(model.config.model, model.weights).to(device).eval()
    silence = network.distribution.silence

    @torch.no_grad()
    def nats(x: Samples, context: int) -> float:
        padded = np.concatenate([np.full(network.receptive_field - context, silence), x])
        heard = torch.from_numpy(padded).to(device)[None]
        scored = heard[:, network.receptive_field :]
        return float(network.distribution.loss(network(heard[:, :-1]), scored)) * scored.shape[1]

    return nats


def _by_engine(request: EvaluateRequest, model: Checkpoint) -> Nats:
    try:
        engine = pick(request.engine, model.config.model, model.weights, request.options)
    except EngineError as e:
        raise EngineError(str(e).replace("use auto", "use parallel, auto")) from None

    def nats(x: Samples, context: int) -> float:
        state, total = engine.init_state(1), 0.0
        for at in range(0, len(x), FEED_SAMPLES):
            block = x[at : at + FEED_SAMPLES]
            params = engine.feed(state, block[None])[0]
            total += _cross_entropy(params, block)[max(0, context - at) :].sum()
        return float(total)

    return nats


def _cross_entropy(params: Params, x: Samples) -> Array:
    """Nats of each code under its logits: params (time, levels), x (time,)."""
    logits = params.astype(np.float64)
    most = logits.max(axis=1)
    found: Array = np.log(np.exp(logits - most[:, None]).sum(axis=1)) + most - logits[np.arange(len(x)), x]
    return found
