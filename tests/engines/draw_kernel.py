"""A kernel that draws and does nothing else: one code from each row of params."""

import triton
import triton.language as tl

from wavenet.engines.gpu.triton_kernels import CATEGORICAL, draw_categorical, draw_mixture


@triton.jit
def draw_rows(
    params,
    noise,
    codes,
    temperature,
    top_k,
    top_p,
    KIND: tl.constexpr,
    N_NOISE: tl.constexpr,
    N: tl.constexpr,
    N_PARAMS: tl.constexpr,
):
    """params (rows, N), noise (rows, N_NOISE) -> codes (rows,)."""
    row = tl.program_id(0)
    if KIND == CATEGORICAL:
        code = draw_categorical(
            params + row * N, noise + row * N_NOISE, temperature, top_k, top_p, N, N_PARAMS
        )
    else:
        code = draw_mixture(params + row * N, noise + row * N_NOISE, temperature, KIND, N, N_PARAMS)
    tl.store(codes + row, code)
