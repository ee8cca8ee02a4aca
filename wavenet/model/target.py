"""What a network predicts of a recording: its samples, or what excites a linear prediction of them.

See `audio.linear_prediction`, whose `Synthesis` is the way back.
"""

from wavenet.audio import linear_prediction
from wavenet.audio.linear_prediction import Filters
from wavenet.audio.quantization import from_pcm16
from wavenet.config import ModelConfig
from wavenet.glossary import Wav
from wavenet.model.conditioning.front_end import Source
from wavenet.model.conditioning.mel import MelFrontEnd


def target_of(model: ModelConfig, sample_rate: int, source: Source, start: int, stop: int) -> Wav:
    """What is predicted of samples `start` to `stop` of a recording: (time,).

    An excitation is the same however loud the recording is played.
    """
    order = model.linear_prediction
    if not order:
        return from_pcm16(source.pcm[start:stop])
    begin = max(0, start - order)
    wav = from_pcm16(source.pcm[begin:stop])
    filters = _filters_of(model, sample_rate, source, start, stop)
    return linear_prediction.excitation(wav, begin, start, filters)


def _filters_of(
    model: ModelConfig, sample_rate: int, source: Source, start: int, stop: int
) -> Filters:
    # A filter is that of its block's middle, which may lie outside.
    hop = model.frame_hop
    begin = max(0, start - linear_prediction.BLOCK_SAMPLES) // hop * hop
    rows = stop + linear_prediction.BLOCK_SAMPLES - begin
    frames, before = MelFrontEnd(model).value_of(source, sample_rate, begin, rows)
    first = begin // hop - before
    return linear_prediction.filters(frames, sample_rate, model, start, stop, first)
