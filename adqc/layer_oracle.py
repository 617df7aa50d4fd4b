"""The oracle of a compressed layer: torch's own function with the weight that the gate-by-gate simulator makes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from adqc.nn import to_torch


def example_input(layer: nn.Module, batch: int) -> Tensor:
    """A fixed random input of a compressed layer, in the dtype and on the device of its circuit.

    Args:
        layer: A layer of :mod:`adqc.nn`.
        batch: Number of samples; for an embedding, of indices.

    Returns:
        Linear: (batch, in_features); a convolution: (batch, in_channels, …), each length just beyond what one output
        needs; an embedding: (batch + 1,) indices, the last one that of the padding where there is one.

    Raises:
        TypeError: If the layer is not one of :mod:`adqc.nn`.

    Example:
        >>> import adqc
        >>> example_input(adqc.nn.Conv2d(3, 8, 5, padding=1), 2).shape
        torch.Size([2, 3, 5, 5])
    """
    generator = torch.Generator().manual_seed(1)
    scale: Tensor = layer.get_parameter("circuit.scale").detach()
    if isinstance(layer, nn.Embedding):
        indices = torch.randint(layer.num_embeddings, (batch + 1,), generator=generator, device="cpu")
        if layer.padding_idx is not None:
            indices[-1] = layer.padding_idx
        return indices.to(scale.device)
    if isinstance(layer, nn.Linear):
        shape: tuple[int, ...] = (batch, layer.in_features)
    elif isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        shape = (batch, layer.in_channels, *_lengths(layer))
    else:
        raise TypeError(f"expected a compressed layer of adqc.nn, got {type(layer).__name__}")
    return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").to(scale)


def _lengths(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> list[int]:
    if isinstance(layer.padding, str):
        padding: tuple[int, ...] = (0,) * len(layer.kernel_size)
    else:
        padding = tuple(layer.padding)
    # shape: reach of the kernel, less the padding on both sides, and 2 more so that there are several outputs; torch's
    # reflecting and circular padding ask for more entries than they pad.
    return [
        max(dilation * (size - 1) + 3 - 2 * pad, pad + 1, 1)
        for size, dilation, pad in zip(layer.kernel_size, layer.dilation, padding, strict=True)
    ]


def expected_output(layer: nn.Module, weight: Tensor, sample: Tensor) -> Tensor:
    """What torch's own layer makes of an input with this weight; gradients reach the weight.

    Args:
        layer: A layer of :mod:`adqc.nn`; its bias and options are used, its circuit is not.
        weight: The weight, of the layer's shape. The row of an embedding's ``padding_idx`` counts as zero.
        sample: The input.

    Returns:
        The output.
    """
    if isinstance(layer, nn.Embedding):
        if layer.padding_idx is not None:
            kept = torch.arange(layer.num_embeddings, device=weight.device) != layer.padding_idx
            weight = torch.where(kept.unsqueeze(1), weight, 0)
        # With max_norm torch shortens rows in place.
        weight = weight.clone()
    output: Tensor = functional_call(to_torch(layer), {"weight": weight}, (sample,))
    return output
