"""The engine's kernels as compiled functions."""

from wavenet.engines.cpu.kernels import advance_streams
from wavenet.engines.cpu.pipeline import consume_stream, produce_stream
from wavenet.simd.compiled import compiled

advance = compiled(advance_streams)
produce = compiled(produce_stream)
consume = compiled(consume_stream)
