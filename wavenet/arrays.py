"""The glossary: which name means what, in which unit and shape. Nothing here computes.

    wav      float32 audio in -1 ... 1                             (time,) or (batch, time)
    x        encoded samples: integers in 0 ... levels - 1         (batch, time)
    params   what the network predicts: logits, or a mixture's     (batch, time, n_params)
    noise    uniforms strictly inside (0, 1), for each draw        (batch, time, n_noise)
    state    what an engine remembers between calls
    span     a stretch of one recording, in samples

Sizes: `levels` the number of codes, `R` residual channels, `G` gate channels of one half, `S` skip channels, `H` hidden
channels of the head, `K` taps of a kernel, `L` layers. `receptive_field` counts the samples that one prediction can hear.
`params[:, i]` always predicts `x[:, i]`: it has heard everything before it and nothing of it.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Wav: TypeAlias = NDArray[np.float32]
Samples: TypeAlias = NDArray[np.int64]
Params: TypeAlias = NDArray[np.float32]
Noise: TypeAlias = NDArray[np.float32]
Array: TypeAlias = NDArray[Any]
