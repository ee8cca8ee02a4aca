"""`wavenet evaluate`: the score of a folder of recordings, as lines of text or as JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from wavenet.config import Config
from wavenet.data import baselines
from wavenet.data.pcm_cache import Index, Recording, index_folder
from wavenet.data.split import TAILS_MIN_SECONDS, long_enough_for_tails, tail_start
from wavenet.errors import CorpusError, EngineError
from wavenet.evaluation import scorers
from wavenet.evaluation.copy_synthesis import MAX_RECORDINGS, CopySynthesisScore, resynthesize
from wavenet.evaluation.likelihood import (
    SPLITS,
    EvaluateOptions,
    FileScore,
    Score,
    Totals,
    recording_label_ids,
    score_recording,
    trained_on,
)
from wavenet.evaluation.metrics import missing
from wavenet.generation.api import load
from wavenet.model.distributions.registry import distribution_for
from wavenet.system.progress import LAYOUT_WITHOUT_COUNT, bar


def evaluate(request: EvaluateOptions, as_json: bool = False) -> Iterator[str]:
    """Score and compare. Yields lines to print, or one JSON object. Raises WavenetError."""
    if request.split not in SPLITS:
        raise CorpusError(
            f"--split {request.split}: must be all (every sample) or "
            "tails (the last tenth of files over one second)"
        )
    model = load(request.model)
    config = model.config
    _check(request, config)
    scorer = scorers.create_scorer(model, request.engine, request.device, request.options)
    tails = request.split == "tails"
    index = index_folder(request.folder, config.audio, trim=False, cache=request.cache)
    pcm = index.pcm()
    spans = _scored_spans(request, index)
    label_ids = recording_label_ids(request, index, config)
    totals, files = Totals(), []
    if not as_json:
        where = f"{len(spans)} recordings of {index.folder} at {index.sample_rate} Hz"
        yield f"checkpoint of step {model.training.step} on {where}"
        yield f"{'bits':>7} {'samples':>11}  file"
    total = sum(recording.samples - start for recording, start in spans)
    with bar(total, layout=LAYOUT_WITHOUT_COUNT, leave=False) as progress:
        for recording, start in spans:
            file_score = score_recording(
                recording.name,
                pcm[recording.offset : recording.offset + recording.samples],
                start,
                label_ids.get(recording.name, 0),
                config,
                scorer,
                totals,
                progress.update,
            )
            files.append(file_score)
            if not as_json:
                progress.clear()
                bits, samples = file_score.bits_per_sample, file_score.samples
                yield f"{bits:>7.3f} {samples:>11,}  {file_score.file}"
    score = _score(totals, files, index, config, tails)
    if not as_json:
        yield "\n".join(summary(score, index, tails))
        if trained := trained_on(request, index, config):
            yield f"note: the run was trained on {trained} of these recordings"
    if config.model.follows_frames and request.vocoded:
        references = [
            (pcm[r.offset + start : r.offset + r.samples], label_ids.get(r.name, 0))
            for r, start in spans[: request.vocoded]
        ]
        try:
            vocoded = resynthesize(model, references, request.engine, request.options)
            score = replace(score, vocoded=vocoded)
        except KeyboardInterrupt:
            if not as_json:
                yield "interrupted: nothing was said again"
    if as_json:
        yield json.dumps(asdict(score), indent=1)
    elif score.vocoded:
        yield from copy_synthesis_table(score.vocoded)


def _check(request: EvaluateOptions, config: Config) -> None:
    """Raise EngineError for options that mean nothing for this model."""
    if not 0 <= request.vocoded <= MAX_RECORDINGS:
        raise EngineError(
            f"--vocoded {request.vocoded}: must be 0 (none) to {MAX_RECORDINGS} recordings"
        )
    if request.label_from is not None and request.label is not None:
        raise EngineError("--label-from and --label: give one of them")
    if request.label_from is not None and not config.model.labels:
        raise EngineError("--label-from: the model was trained without labels; leave it out")


def _scored_spans(request: EvaluateOptions, index: Index) -> list[tuple[Recording, int]]:
    """The recordings of the split, each with the sample that scoring starts at.

    Raises CorpusError when there are none.
    """
    if request.split != "tails":
        return [(recording, 0) for recording in index.recordings]
    spans = [
        (recording, tail_start(recording.samples))
        for recording in index.recordings
        if long_enough_for_tails(recording.samples, index.sample_rate)
    ]
    if not spans:
        raise CorpusError(
            f"{request.folder}: --split tails needs recordings over {TAILS_MIN_SECONDS:g} s; "
            "use --split all"
        )
    return spans


def _score(
    totals: Totals, files: Sequence[FileScore], index: Index, config: Config, tails: bool
) -> Score:
    # Frequencies learnt on other samples must leave no pair impossible.
    prior = 0.1 if tails else 0.0
    distribution = distribution_for(config.model)
    unigram, bigram = baselines.pair_bits(
        totals.learnt_pairs, totals.scored_pairs, distribution, prior=prior
    )
    bits = totals.nats / totals.samples / math.log(2)
    return Score(
        bits_per_sample=bits,
        bits_per_16bit_sample=bits + totals.bits_to_16bit / totals.samples,
        unigram_bits=unigram,
        bigram_bits=bigram,
        lpc_bits=totals.lpc_bits / totals.samples,
        samples=totals.samples,
        files=tuple(files),
        skipped=index.skipped,
    )


def summary(score: Score, index: Index, tails: bool) -> Iterator[str]:
    """Lines to print: what was scored, its bits per sample, and those of the baselines."""
    for skipped in score.skipped:
        yield f"{'skipped':>19}  {skipped.name}: {skipped.reason}"
    if left_out := len(index.recordings) - len(score.files):
        yield f"{left_out} recordings of {TAILS_MIN_SECONDS:g} s or less left out"
    what = "the last tenth of each, after hearing the rest" if tails else "every sample"
    length = f"{score.samples:,} samples ({score.samples / index.sample_rate:.1f} s)"
    codes_are_16bit = score.bits_per_16bit_sample == score.bits_per_sample
    unit = "16-bit sample" if codes_are_16bit else "sample"
    yield f"{score.bits_per_sample:.3f} bits per {unit} over {length}: {what}"
    if not codes_are_16bit:
        yield (
            f"{score.bits_per_16bit_sample:.3f} bits per 16-bit sample, "
            "with those of one level alike: to compare with 16-bit models"
        )
    how = "counted on the first nine tenths" if tails else "counted on the same samples"
    yield (
        f"{score.unigram_bits:.3f} by how often each level occurs, "
        f"{score.bigram_bits:.3f} knowing the sample before ({how})"
    )
    yield f"{score.lpc_bits:.3f} by linear prediction of order {baselines.ORDER}"


def copy_synthesis_table(score: CopySynthesisScore) -> Iterator[str]:
    """Lines to print: the metrics of the model, and those of Griffin-Lim."""
    count = f"{score.recordings} recordings" if score.recordings > 1 else "1 recording"
    yield (
        f"{count} said again from their mel frames ({score.seconds:.1f} s), "
        "and by Griffin-Lim from the same frames:"
    )
    yield f"{'':14} {'convergence':>12} {'log-STFT dB':>12} {'mel dB':>8} {'STOI':>7} {'PESQ':>7}"
    for name, metrics in (("this model", score.model), ("Griffin-Lim", score.griffin_lim)):
        distances = (
            f"{metrics.spectral_convergence:>12.3f} {metrics.log_stft_db:>12.2f} "
            f"{metrics.mel_db:>8.2f}"
        )
        stoi = "-" if metrics.stoi is None else f"{metrics.stoi:.3f}"
        pesq = "-" if metrics.pesq is None else f"{metrics.pesq:.3f}"
        yield f"{name:14} {distances} {stoi:>7} {pesq:>7}"
    if missing("pystoi") or missing("pesq"):
        yield "(STOI and PESQ need pip install 'wavenet-audio[metrics]')"
