"""What a model in training sounds like by now."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from wavenet import plotting
from wavenet.arrays import Wav
from wavenet.audio import writing
from wavenet.data.dataset import Corpus
from wavenet.data.split import Span
from wavenet.errors import WavenetError
from wavenet.generation.mel_input import mel_input_from_cache
from wavenet.generation.prompt import Prompt
from wavenet.generation.sampler import Sampler
from wavenet.model.checkpoint import Checkpoint

LEAD_SECONDS = 0.5  # of a held-out recording that a rendered sample starts from


def render_validation_sample(
    model: Checkpoint, corpus: Corpus, folder: Path, note: Callable[[str], None]
) -> Path | None:
    """A wav and a picture in `folder`: the model goes on from the middle of a held-out recording, or says one again.

    Returns the wav; None when none is wanted, or when there is something to `note` about it.
    """
    seconds, rate = model.config.train.sample_seconds, model.config.audio.sample_rate
    if not seconds:
        return None
    path = folder / f"step-{model.training.step:08d}.wav"
    samples = max(1, round(seconds * rate))
    span = max(corpus.validation or corpus.training, key=len)
    label = model.config.model.labels[span.label : span.label + 1]
    try:
        if model.config.model.mel_bands:
            said = corpus.wav(replace(span, stop=min(span.stop, span.start + samples)))
            sampler = Sampler(
                model,
                seed=model.config.train.seed,
                labels=label,
                guides=[mel_input_from_cache(said, model.config)],
            )
            lead, samples, heard = (
                said[:0],
                len(said),
                "from the mel frames of a held-out recording",
            )
        else:
            lead = _lead(corpus, span, round(LEAD_SECONDS * rate))
            prompt = Prompt(corpus.distribution.encode(lead), gain=1.0)
            sampler = Sampler(model, seed=model.config.train.seed, labels=label, prompt=prompt)
            heard = f"after {len(lead) / rate:.1f} s of a held-out recording"
        wav = np.concatenate([lead, *(block[0] for block in sampler.blocks(samples))])
        with writing.writer(path, rate) as file:
            file.write(wav)
        plotting.sample(
            path.with_suffix(".png"),
            wav,
            rate,
            ", ".join([f"step {model.training.step}", *label, heard]),
        )
    except WavenetError as e:
        note(f"no sample rendered: {e}")
        return None
    return path


def _lead(corpus: Corpus, span: Span, samples: int) -> Wav:
    """Up to `samples` before the middle of a stretch: silence alone is a poor start to judge a model by."""
    middle = span.start + len(span) // 2
    return corpus.wav(replace(span, start=max(0, middle - samples), stop=middle))
