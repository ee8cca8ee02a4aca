"""The audio that a model in training generates at each evaluation."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from wavenet.audio import writing
from wavenet.data.corpus import Corpus
from wavenet.errors import reason_of
from wavenet.generation.conditions import Conditions
from wavenet.generation.prompt import Prompt
from wavenet.generation.provenance import model_name, synthetic_tags
from wavenet.generation.sampler import Sampler
from wavenet.model.checkpoint import Model
from wavenet.model.conditioning.registry import followed
from wavenet.plotting.sound import Clip, sample

LEAD_SECONDS = 0.5  # of a held-out recording as the prompt


def render_validation_sample(
    model: Model, corpus: Corpus, folder: Path, note: Callable[[str], None]
) -> Path | None:
    """Write a wav and a picture of it to `folder`: what the model generates by now.

    A network that follows frames makes a held-out recording again from its own; any other one goes
    on from the middle of it. Returns the wav's path; None when `train.sample_seconds` is 0, or when
    rendering failed, which `note` is told.
    """
    config, rate = model.config, model.config.audio.sample_rate
    if not config.train.sample_seconds:
        return None
    path = folder / f"step-{model.training.step:08d}.wav"
    samples = max(1, round(config.train.sample_seconds * rate))
    span = max(corpus.validation or corpus.training, key=len)
    label = config.model.labels[span.label : span.label + 1]
    sampler_of = partial(Sampler, model, seed=config.train.seed, labels=label)
    try:
        if config.model.follows_frames:
            excerpt = replace(span, stop=min(span.stop, span.start + samples))
            lead, samples = np.zeros(0, np.float32), len(excerpt)
            source = corpus.source(span)
            conditions = Conditions.from_source(source, excerpt.start, samples, config)
            sampler = sampler_of(conditions=[conditions])
            caption = f"after the {followed(config.model)} of a held-out recording"
        else:
            # A recording may begin with silence, which would be a poor prompt to judge a model by.
            middle = span.start + len(span) // 2
            start = max(0, middle - round(LEAD_SECONDS * rate))
            lead = corpus.wav(replace(span, start=start, stop=middle))
            sampler = sampler_of(prompt=Prompt(corpus.distribution.encode(lead), gain=1.0))
            caption = f"after {len(lead) / rate:.1f} s of a held-out recording"
        wav = np.concatenate([lead, *(block[0] for block in sampler.blocks(samples))])
        tags = synthetic_tags(
            model_name(folder.parent),
            model,
            config.train.seed,
            lead_seconds=len(lead) / rate,
            made_from=followed(config.model),
        )
        with writing.writer(path, rate, tags) as file:
            file.write(wav)
        title = ", ".join([f"step {model.training.step}", *label, caption])
        sample(path.with_suffix(".png"), Clip(wav, len(lead) / rate), rate, title)
    except Exception as e:
        # Whatever a library raises: a sample only shows how far training is.
        note(f"no sample rendered: {reason_of(e)}")
        return None
    return path
