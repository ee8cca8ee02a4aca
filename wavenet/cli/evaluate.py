"""`wavenet evaluate`: the score of a folder of recordings, for people or as JSON."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace

from wavenet.config import Config
from wavenet.data import baselines
from wavenet.data.pcm_cache import Index, index_folder
from wavenet.data.split import TAILS_FRACTION, TAILS_MIN_SECONDS
from wavenet.errors import CorpusError, EngineError
from wavenet.evaluation import scorers
from wavenet.evaluation.copy_synthesis import MOST_VOCODED, CopySynthesisScore, resynthesize
from wavenet.evaluation.likelihood import (
    SPLITS,
    EvaluateOptions,
    Score,
    Totals,
    recording_labels,
    score_recordings,
    trained_on,
)
from wavenet.evaluation.metrics import missing
from wavenet.generation.api import load
from wavenet.model.distributions.registry import distribution_for
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar


def evaluate(request: EvaluateOptions, as_json: bool = False) -> Iterator[str]:
    """Score and compare. Yields lines to print: a line per recording and a summary, or one JSON object. Raises WavenetError."""
    if request.split not in SPLITS:
        raise CorpusError(
            f"--split {request.split}: must be all (every sample) or tails (the last tenth of files over one second)"
        )
    model = load(request.model)
    config = model.config
    require_sense(request, config)
    nats = scorers.create_scorer(model, request.engine, request.device, request.options)
    tails = request.split == "tails"
    index = index_folder(request.folder, config.audio, trim=False, cache=request.cache)
    pcm = index.pcm()
    spans = [(r, int(r.samples * (1 - TAILS_FRACTION)) if tails else 0) for r in index.recordings]
    spans = [
        (r, start)
        for r, start in spans
        if not tails or r.samples > TAILS_MIN_SECONDS * index.sample_rate
    ]
    if not spans:
        raise CorpusError(
            f"{request.folder}: --split tails needs recordings over {TAILS_MIN_SECONDS:g} s; use --split all"
        )
    told = recording_labels(request, index, config)
    totals, files = Totals(), []
    if not as_json:
        yield f"checkpoint of step {model.training.step} on {len(spans)} recordings of {index.folder} at {index.sample_rate} Hz"
        yield f"{'bits':>7} {'samples':>11}  file"
    with bar(
        sum(r.samples - start for r, start in spans), layout=LAYOUT_WITHOUT_COUNT, leave=False
    ) as progress:
        for recording, start in spans:
            whole = pcm[recording.offset : recording.offset + recording.samples]
            found = score_recordings(
                recording.name,
                whole,
                start,
                told.get(recording.name, 0),
                config,
                nats,
                totals,
                progress.update,
            )
            files.append(found)
            if not as_json:
                progress.clear()
                yield f"{found.bits_per_sample:>7.3f} {found.samples:>11,}  {found.file}"
    unigram, bigram = baselines.pair_bits(
        totals.learnt, totals.scored, distribution_for(config.model), prior=0.1 if tails else 0.0
    )
    bits = totals.nats / totals.samples / math.log(2)
    whole_bits, lpc = bits + totals.bits_to_16bit / totals.samples, totals.lpc_bits / totals.samples
    score = Score(
        bits, whole_bits, unigram, bigram, lpc, totals.samples, tuple(files), index.skipped
    )
    if not as_json:
        yield "\n".join(summary(score, index, tails))
        if known := trained_on(request, index, config):
            yield f"note: the run was trained on {known} of these recordings"
    if config.model.mel_bands and request.vocoded:
        some = [
            (pcm[r.offset + start : r.offset + r.samples], told.get(r.name, 0))
            for r, start in spans[: request.vocoded]
        ]
        try:
            score = replace(
                score, vocoded=resynthesize(model, some, request.engine, request.options)
            )
        except KeyboardInterrupt:
            yield from () if as_json else ("interrupted: nothing was said again",)
    if as_json:
        yield json.dumps(asdict(score), indent=1)
    elif score.vocoded:
        yield from copy_synthesis_table(score.vocoded)


def require_sense(request: EvaluateOptions, config: Config) -> None:
    """Raise EngineError for options that would mean nothing here."""
    if not 0 <= request.vocoded <= MOST_VOCODED:
        raise EngineError(
            f"--vocoded {request.vocoded}: must be 0 (none) to {MOST_VOCODED} recordings"
        )
    if request.label_from is not None and request.label is not None:
        raise EngineError("--label-from and --label: give one of them")
    if request.label_from is not None and not config.model.labels:
        raise EngineError("--label-from: the model was trained without labels; leave it out")


def summary(score: Score, index: Index, tails: bool) -> Iterator[str]:
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


def copy_synthesis_table(v: CopySynthesisScore) -> Iterator[str]:
    """A table for the terminal."""
    many = f"{v.recordings} recordings" if v.recordings > 1 else "1 recording"
    yield f"{many} said again from their mel frames ({v.seconds:.1f} s), and by Griffin-Lim from the same frames:"
    yield f"{'':14} {'convergence':>12} {'log-STFT dB':>12} {'mel dB':>8} {'STOI':>7} {'PESQ':>7}"
    for name, f in (("this model", v.model), ("Griffin-Lim", v.griffin_lim)):
        stoi, pesq = (f"{x:.3f}" if x is not None else "-" for x in (f.stoi, f.pesq))
        yield f"{name:14} {f.spectral_convergence:>12.3f} {f.log_stft_db:>12.2f} {f.mel_db:>8.2f} {stoi:>7} {pesq:>7}"
    if missing("pystoi") or missing("pesq"):
        yield "(STOI and PESQ need pip install 'wavenet-audio[metrics]')"
