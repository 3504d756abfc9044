"""A smooth roofline with four constants: what a kernel takes where nothing was measured."""

from dataclasses import dataclass

import numpy as np

from .ops import FloatArray


@dataclass(frozen=True, kw_only=True)
class Prior:
    """``start + ((compute_factor * C)^p + (memory_factor * M)^p)^(1/p)`` microseconds.

    C and M are what the data sheet's peaks say of the work; p is between 1, where the times add
    up, and 16, where the larger one counts.
    """

    start_us: float
    compute_factor: float
    memory_factor: float
    sharpness: float

    def us(self, compute_us: FloatArray, memory_us: FloatArray) -> FloatArray:
        """Microseconds, element by element."""
        compute, memory = self.compute_factor * compute_us, self.memory_factor * memory_us
        larger = np.maximum(np.maximum(compute, memory), 1e-300)
        share = np.minimum(compute, memory) / larger
        return self.start_us + larger * (1 + share**self.sharpness) ** (1 / self.sharpness)


UNMEASURED = Prior(start_us=3.5, compute_factor=1.33, memory_factor=1.25, sharpness=2.5)
"""Good to 6 to 17 % in the median for bf16 GEMM on eight GPUs, with nothing fitted (TensorRT-LLM
tables of aiconfigurator 095f58a, ``n`` and ``k`` of 512 and more); other ops are rougher."""
