"""A rival in the cosine basis: it builds the coefficients of a weight, as a circuit with frequencies does."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from adqc.baselines.simple import Baseline
from adqc.cosine import from_cosines, kept_axes


class InCosines(nn.Module):
    """A weight some of whose axes are sums of few cosines, with a rival for their coefficients.

    Args:
        shape: The weight's shape.
        axes: Axes that it is seen with.
        frequencies: How many cosines each of them is a sum of, 0 for one that stays; see :mod:`adqc.cosine`.
        inner: The rival, of the coefficients' shape: :func:`adqc.cosine.kept_axes`.

    Raises:
        ValueError: If ``inner`` has another shape.
    """

    def __init__(
        self, shape: Sequence[int], *, axes: Sequence[int], frequencies: Sequence[int], inner: Baseline
    ) -> None:
        super().__init__()
        self.shape, self.axes, self.frequencies = tuple(shape), tuple(axes), tuple(frequencies)
        expected = kept_axes(self.axes, self.frequencies)
        if inner.shape != expected or math.prod(self.axes) != math.prod(self.shape):
            raise ValueError(
                f"a weight of shape {self.shape} with axes {self.axes} and frequencies {self.frequencies} has "
                f"coefficients of shape {expected}, got a rival for {inner.shape}"
            )
        self.inner = inner

    def forward(self) -> Tensor:
        """The weight."""
        weight: Tensor = from_cosines(self.inner(), self.axes, self.frequencies).reshape(self.shape)
        return weight

    def right_inverse(self, tensor: Tensor) -> tuple[()]:
        """Nothing of the dense weight is stored."""
        return ()
