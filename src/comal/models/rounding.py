"""How far log-probabilities of one policy may differ by rounding alone, and which number format decides that."""

from __future__ import annotations

from typing import Any, Final

import torch

from comal.models.quantization import rounds_as

TOLERANCE: Final = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2, torch.float64: 1e-3}
"""Mean difference in nats a token that rounding can make, by the format."""


def tolerance_of(dtype: torch.dtype) -> float:
    """The mean difference that rounding to a format can make, in nats a token."""
    return TOLERANCE.get(dtype, TOLERANCE[torch.float32])


def tolerance_with(model: Any) -> float:
    """The mean difference that rounding can make with a model, in nats a token.

    Its weights' format says it where nothing coarser multiplies them: layers of few bits, or a GPU's TF32. Seen on an
    H100 with weights of float32: .0010 to .0032 with TF32, .0024 with 4 bits that are computed in bfloat16.
    """
    weights = next(model.parameters())
    return max(
        tolerance_of(multiplied_in(weights.dtype, model.device)), tolerance_of(rounds_as(model) or weights.dtype)
    )


def multiplied_in(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The format that has as many bits as a product of matrices on a device keeps: float16 for a GPU's TF32."""
    return torch.float16 if dtype == torch.float32 and device.type == "cuda" and _tf32() else dtype


def _tf32() -> bool:
    matmul = torch.backends.cuda.matmul
    if hasattr(torch.backends, "fp32_precision"):  # from PyTorch 2.9 on, where to read the older flag may be an error
        return bool(matmul.fp32_precision == "tf32")
    return bool(matmul.allow_tf32)
