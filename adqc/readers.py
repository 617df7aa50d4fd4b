"""Other packages' reading of OpenQASM text: the state that it prepares."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor


def missing_package(reader: str, version: int) -> str | None:
    """The package that a reader needs and that is not installed.

    Args:
        reader: One of :data:`READERS`.
        version: OpenQASM version of the text.

    Returns:
        The package's name on PyPI; None where all is there.

    Example:
        >>> missing_package("quimb", 3) is None
        True
    """
    needed = {"quimb": ["quimb"], "qiskit": ["qiskit", *["qiskit-qasm3-import"] * (version == 3)]}[reader]
    return next((name for name in needed if importlib.util.find_spec(name.replace("-", "_")) is None), None)


def quimb_state(text: str, version: int) -> Tensor:
    """The state as quimb's circuit simulator has it.

    Args:
        text: OpenQASM 2 or 3.
        version: Which of the two.

    Returns:
        (2^Q,) complex128 amplitudes, q[0] most significant.
    """
    import quimb.tensor as qtn

    from adqc.engine.mend import mend_autoray

    mend_autoray()
    read = qtn.Circuit.from_openqasm2_str if version == 2 else qtn.Circuit.from_openqasm3_str
    # Each gate is contracted into the state as it is read; the network of all of them needs a search for a good order.
    state = read(text, gate_contract=True).psi
    outputs = [f"k{site}" for site in range(state.nsites)]
    array = state.contract(output_inds=outputs, optimize="greedy", preserve_tensor=True).data
    return torch.as_tensor(array, device="cpu").to(torch.complex128).reshape(-1)


def qiskit_state(text: str, version: int) -> Tensor:
    """The state as Qiskit has it.

    Args:
        text: OpenQASM 2 or 3.
        version: Which of the two.

    Returns:
        (2^Q,) complex128 amplitudes, q[0] most significant.
    """
    from qiskit import qasm2, qasm3
    from qiskit.quantum_info import Statevector

    circuit = (qasm2 if version == 2 else qasm3).loads(text)
    # Qiskit's first qubit is the least significant one.
    return torch.from_numpy(Statevector(circuit.reverse_bits()).data.copy())


READERS = {"quimb": quimb_state, "qiskit": qiskit_state}
