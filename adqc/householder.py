"""Orthonormal columns of few numbers: Householder's reflections, and the backward pass through them."""

from __future__ import annotations

from typing import Any

import numpy as np

from adqc.compiled import compiled


@compiled
def decompose_(whole: Any, gates: Any, upper: Any) -> None:
    """QR decompositions whose r has no negative number on its diagonal.

    Args:
        whole: (G, rows, m), m at most rows.
        gates: (G, n, m), n at most rows: gets the first n rows of q.
        upper: (G, m, m): gets r.
    """
    count, size, kept = whole.shape
    # Columns lie side by side here. What is below the diagonal of ``found`` makes the reflections.
    found = np.empty((kept, size), whole.dtype)
    q = np.empty((kept, size), whole.dtype)
    factors, zero = np.empty(kept, whole.dtype), np.zeros(1, whole.dtype)[0]
    for g in range(count):
        for i in range(size):
            for j in range(kept):
                found[j, i] = whole[g, i, j]
        for j in range(kept):
            # In double precision, as squares of single ones may be beyond all bounds.
            head, tail = np.float64(found[j, j]), 0.0
            for i in range(j + 1, size):
                tail += np.float64(found[j, i]) ** 2
            factors[j] = 0
            if tail > 0:
                length = np.sqrt(head**2 + tail)
                length = -length if head > 0 else length
                factors[j] = (length - head) / length
                shrink = 1 / (head - length)
                for i in range(j + 1, size):
                    found[j, i] *= shrink
                found[j, j] = length
            for k in range(j + 1, kept):
                part = found[k, j]
                for i in range(j + 1, size):
                    part += found[j, i] * found[k, i]
                part *= factors[j]
                found[k, j] -= part
                for i in range(j + 1, size):
                    found[k, i] -= part * found[j, i]
        for j in range(kept - 1, -1, -1):
            for k in range(j + 1, kept):
                part = zero
                for i in range(j + 1, size):
                    part += found[j, i] * q[k, i]
                part *= factors[j]
                q[k, j] = -part
                for i in range(j + 1, size):
                    q[k, i] -= part * found[j, i]
            q[j, j] = 1 - factors[j]
            for i in range(j + 1, size):
                q[j, i] = -factors[j] * found[j, i]
        for j in range(kept):
            sign = -1 if found[j, j] < 0 else 1
            for k in range(kept):
                upper[g, j, k] = sign * found[k, j] if k >= j else 0
            for i in range(gates.shape[1]):
                gates[g, i, j] = sign * q[j, i]


@compiled
def pull_back_(grads: Any, gates: Any, upper: Any, found: Any) -> None:
    """The gradient of what was decomposed, in its first n rows: arXiv:2009.10071, where nothing is asked of r.

    Args:
        grads: (G, n, m), of the gates.
        gates: What :func:`decompose_` has made.
        upper: The same.
        found: (G, n, m): gets the gradient.
    """
    count, size, kept = gates.shape
    inner = np.empty((kept, kept), gates.dtype)
    row = np.empty(kept, gates.dtype)
    for g in range(count):
        inner[:] = 0
        for i in range(size):
            for a in range(kept):
                for b in range(kept):
                    inner[a, b] += gates[g, i, a] * grads[g, i, b]
        for a in range(kept):
            for b in range(a):
                inner[a, b] = inner[b, a]
        for i in range(size):
            for b in range(kept):
                row[b] = grads[g, i, b]
            for a in range(kept):
                for b in range(kept):
                    row[b] -= gates[g, i, a] * inner[a, b]
            # A triangular system: this row times the transpose of r.
            for j in range(kept - 1, -1, -1):
                for k in range(j + 1, kept):
                    row[j] -= row[k] * upper[g, j, k]
                row[j] /= upper[g, j, j]
            for b in range(kept):
                found[g, i, b] = row[b]
