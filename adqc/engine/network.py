"""The circuit as a quimb tensor network, and its generic contraction through cotengra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from adqc.engine.mend import mend_autoray
from adqc.geometry import Wiring


def gate_arrays(gates: Tensor, wiring: Wiring, start: Tensor | None = None) -> list[Tensor]:
    """One array a tensor of :func:`network_indices`.

    Args:
        gates: (G, 2^k, 2^k), in the order in which they act.
        wiring: Where they act.
        start: (Q, 2), the product state to begin with; None for |0…0>, whose inputs are fixed by slicing.

    Returns:
        The gates, with axes (outputs, inputs) of dimension 2, then one vector a site that needs one.
    """
    arrays = []
    for gate, sites, fresh in zip(gates.unbind(0), wiring.gates, wiring.fresh, strict=True):
        array = gate.reshape((2,) * (2 * len(sites)))
        if start is None:
            array = array[(..., *(0 if first else slice(None) for first in fresh))]
        arrays.append(array)
    if start is not None:
        arrays += start.to(gates.dtype).unbind(0)
    else:
        zero = gates.new_tensor([1.0, 0.0])
        arrays += [zero for touched in wiring.wires if not touched]
    return arrays


def network_indices(wiring: Wiring, *, fixed_start: bool) -> tuple[list[tuple[str, ...]], list[str]]:
    """The index names of every tensor, and those of the output bits in site order.

    The stretch of wire behind the n-th gate on site q is called ``w{q},{n}``.

    Args:
        wiring: Where the gates act.
        fixed_start: Whether the sites start in |0>, so that first gates have no index for their fixed inputs.

    Returns:
        The names for each gate (outputs, then inputs) and for each start vector; the names of the outputs.
    """
    passed: Counter[int] = Counter()
    names = []
    for sites in wiring.gates:
        inputs = tuple(f"w{site},{passed[site]}" for site in sites if not fixed_start or passed[site])
        passed.update(sites)
        names.append(tuple(f"w{site},{passed[site]}" for site in sites) + inputs)
    starts = range(wiring.sites) if not fixed_start else [s for s, touched in enumerate(wiring.wires) if not touched]
    names += [(f"w{site},0",) for site in starts]
    return names, [f"w{site},{passed[site]}" for site in range(wiring.sites)]


def build_network(wiring: Wiring, arrays: Sequence[Any], *, fixed_start: bool) -> Any:
    """The circuit's ``quimb.tensor.TensorNetwork``.

    Args:
        wiring: Where the gates act.
        arrays: One array a tensor, as :func:`gate_arrays` gives them.
        fixed_start: Whether the sites start in |0>.

    Returns:
        The network, with tags ``GATE{k}``, ``LAYER{l}``, ``SITE{q}`` and ``START``; its open indices are the
        outputs ``w{q},{n}``.
    """
    import quimb.tensor as qtn

    mend_autoray()
    names, _ = network_indices(wiring, fixed_start=fixed_start)
    tensors = []
    for k, (array, inds) in enumerate(zip(arrays, names, strict=True)):
        if k < len(wiring.gates):
            tags = [f"GATE{k}", f"LAYER{wiring.layer_of[k]}", *(f"SITE{site}" for site in wiring.gates[k])]
        else:
            tags = ["START", f"SITE{inds[0][1:].split(',')[0]}"]
        tensors.append(qtn.Tensor(array, inds=inds, tags=tags))
    return qtn.TensorNetwork(tensors)


def placeholder_network(wiring: Wiring, *, fixed_start: bool) -> Any:
    """The network with arrays of ones: only its structure counts, for finding contraction orders."""
    names, _ = network_indices(wiring, fixed_start=fixed_start)
    return build_network(wiring, [np.ones((2,) * len(inds)) for inds in names], fixed_start=fixed_start)


def contraction(network: Any, output: Sequence[str]) -> Any:
    """Compile the contraction of a network, ``arrays -> array``, in an order found in milliseconds.

    Args:
        network: A quimb network; only its structure is used.
        output: The open indices, in the order of the result's axes.
    """
    import cotengra

    indices = [tensor.inds for tensor in network]
    shapes = [tensor.shape for tensor in network]
    tree = network.contraction_tree("greedy", output_inds=tuple(output))
    return cotengra.array_contract_expression(indices, tuple(output), shapes=shapes, optimize=tree.get_path())


@lru_cache(maxsize=64)
def _whole(wiring: Wiring, fixed_start: bool) -> Any:
    _, output = network_indices(wiring, fixed_start=fixed_start)
    return contraction(placeholder_network(wiring, fixed_start=fixed_start), output)


def contract_network(gates: Tensor, wiring: Wiring, start: Tensor | None = None) -> Tensor:
    """The state that the circuit prepares, by generic contraction of the whole network.

    Args:
        gates: (G, 2^k, 2^k), in the order in which they act.
        wiring: Where they act.
        start: (Q, 2), the product state to begin with; None for |0…0>.

    Returns:
        (2^Q,), the first site most significant; complex where the gates are.
    """
    arrays = gate_arrays(gates, wiring, start)
    result: Tensor = _whole(wiring, start is None)(*arrays)
    return result.reshape(-1)
