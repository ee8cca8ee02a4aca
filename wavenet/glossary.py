"""The glossary: which name means what, in which unit and shape. Nothing here computes.

Arrays:

    wav         float32 audio in -1 ... 1                            (time,) or (batch, time)
    pcm         int16 audio in -32768 ... 32767                      (time,)
    x           codes: integers in 0 ... levels - 1                  (batch, time)
    params      what the network predicts: logits, or a mixture's    (batch, time, n_params)
    noise       uniforms strictly inside (0, 1), for each draw       (batch, time, n_noise)
    frames      what changes along a recording, such as log-mels    (F, bands)
    features    what all layers are conditioned on, at frame rate    (F, batch, C)

An AudioInput is a recording as functions of this library take it: the path of a file of any format
and rate; a wav (time,) of floats in -1 ... 1 at the model's rate, as an array or a tensor; or a
tuple (wav, rate in Hz). Several are a list. A Number is a float, an int or one of NumPy's.

Wherever params stand beside the codes that they predict, as in losses and engines, `params[:, i]`
depends on codes before `x[:, i]` alone. A network is given the codes that lie before: its output i
predicts the code that follows `x[:, i + receptive_field - 1]`.

Letters and names in shapes:

    batch       windows of a training step, or streams that are generated side by side
    time        samples, one after the other
    rows        batch and time in one axis, time first: row = time * batch + window
    levels      codes that a sample can have: of mu-law, or 65,536 of 16-bit audio
    n_inputs    rows of the table that turns codes into R channels
    n_params    numbers predicted for each sample: one logit per code, or three per component
    n_noise     uniforms that one draw takes
    J           components of a mixture
    L           layers of the stack
    K           taps of one kernel
    T           offsets of one layer: a dense kernel has one tap at each of them
    R           residual channels
    G           channels of each half of the gate: `gate_channels` is 2G, the tanh half first
    S           skip channels
    H           hidden channels of the head
    B           bottleneck channels
    P           channels of one branch of the pyramid
    M           channels that a mel frame and its neighbours are condensed to
    C           conditioning channels: those of each front end in turn
    N           n_params filled up to a width that suits a GPU
    F           frames of conditioning

The network:

    tap             one position of a kernel, with its own weights; the newest is the present
    dilation        distance between neighbouring taps of a kernel, in samples
    offset          how many samples back a tap reads its layer's input; the newest tap's is 0
    lag             how many samples back from a prediction something lies, through all layers
    receptive field samples that one prediction can depend on
    gate            tanh(filter) * sigmoid(gate), a layer's nonlinearity
    residual path   what a layer adds to the next layer's input
    skip path       what a layer adds to the input of the head
    head            the layers from the sum of the skip paths to `params`
    context module  an optional module before the head that reads past skip sums, too

Conditioning:

    conditioning    what a prediction follows besides samples: label (global), frames (local)
    excitation      what is predicted in place of audio with linear prediction: see
                    `audio.linear_prediction`
    label           a recording's voice or class, by name; its number is the label id
    frame           conditioning at one time; frame j, such as a log-mel's, lies at sample j * hop
    hop             samples from one frame to the next
    interp_weights  interpolation weights: how much each frame around a sample counts for it
    vocoder         a network that is conditioned on mel frames: it renders what they describe
    resynthesis     generating a recording again from its own mel frames: copy synthesis

Generation:

    engine      an implementation that generates sample by sample
    stream      one of the signals that are generated side by side
    state       what an engine remembers between calls: each layer's past inputs
    prompt      audio that a stream begins with
    prefill     computing the state after a prompt, all samples at once
    select      a state made of some streams of another, in a given order
    draw        turning `params` and `noise` into a code

Training:

    span        a range of one recording, in samples: start and stop
    window      what one row of a batch is cut from: predicted samples after their receptive field
    segment     the predicted samples of a window
    loss mask   1 for the samples of a segment that are real audio, 0 for padding around it
    bits        negative log-likelihood of a sample to base 2; in nats it is to base e
    EMA         exponential moving average of the weights, which validation and samples use
    world size  number of processes that train together
    rank        number of one of them, from 0; rank 0 writes the files
    shard       the part of a batch that one rank computes
    all-reduce  an exchange after which all ranks hold the sum, or the mean, of their values
"""

from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Wav: TypeAlias = NDArray[np.float32]
Pcm: TypeAlias = NDArray[np.int16]
Samples: TypeAlias = NDArray[np.int64]
Params: TypeAlias = NDArray[np.float32]
Noise: TypeAlias = NDArray[np.float32]
Array: TypeAlias = NDArray[Any]
Number: TypeAlias = float | np.floating[Any] | np.integer[Any]


class SupportsArray(Protocol):
    """What NumPy takes for an array, such as a tensor."""

    def __array__(self) -> Any: ...


AudioInput: TypeAlias = str | Path | SupportsArray | tuple[SupportsArray, Number]
