"""How well a model predicts recordings, from Python in one call."""

from pathlib import Path

from wavenet.data.given_recordings import Recordings, as_files
from wavenet.data.pcm_cache import index_folder
from wavenet.data.tracks import attach
from wavenet.engines.options import EngineOptions
from wavenet.errors import UsageError
from wavenet.evaluation.likelihood import SPLITS, Likelihood, Score, label_ids, spans_to_score
from wavenet.evaluation.scorers import create_scorer
from wavenet.generation.api import as_model
from wavenet.model.checkpoint import Model
from wavenet.system.files import given_path
from wavenet.system.notices import tell


def score(
    model: Model | str | Path,
    recordings: Recordings,
    *,
    label: str | None = None,
    split: str = "all",
    engine: str = "parallel",
    device: str = "auto",
    cache: str | Path | None = None,
) -> Score:
    """Bits per sample of recordings under a model, which `wavenet evaluate` gives: less is better.

    log2(256) = 8 means that a model of 256 levels knows nothing. Each sample is predicted from its
    exact context; before a recording there is silence. The result has the score of each recording
    beside the one of all, and those of simple baselines on the same samples: a number of bits says
    little alone.

        model         a model, or what `load` takes: a run, a checkpoint file, a name
        recordings    a folder or a file, or a list of them; a wav (time,) in -1 ... 1 at the
                      model's rate or a tuple (wav, rate), or a list of them, which the result
                      calls recordings[0].wav and so on
        label         one for all of them; without it they are labelled as in training
        split         "all" samples, or "tails": the last tenth of recordings over a second
        engine        "parallel", the forward pass of training, or one of `wavenet.engines.ENGINES`
        device        of the forward pass: "auto", "cpu", "cuda", "cuda:1", "mps"
        cache         where decoded files are kept

    Raises WavenetError: UsageError for a value, CorpusError where no recording can be used.

    >>> import numpy as np, wavenet
    >>> wav = wavenet.generate("demo-voice", seconds=0.2, seed=7)
    >>> result = wavenet.score("demo-voice", wav)
    >>> result.samples, result.bits_per_sample < 8
    (3200, True)
    """
    model = as_model(model)
    if split not in SPLITS:
        raise UsageError("split", split, f"must be one of {', '.join(SPLITS)}")
    config = model.config
    scorer = create_scorer(model, engine, device, EngineOptions())
    with as_files(recordings, model.sample_rate) as (selection, place):
        index = index_folder(
            selection,
            config.audio,
            trim=False,
            cache=place if cache is None else given_path("cache", cache),
            version=model.training.decoding,
            wait_seconds=-1,
            on_wait=tell,
        )
        index, config, tracks = attach(index, config)
        likelihood = Likelihood(index, config, scorer, tracks)
        for span in spans_to_score(index, split, label_ids(index, config, None, label)):
            likelihood.add(span)
        return likelihood.summary()
