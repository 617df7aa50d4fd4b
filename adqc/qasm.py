"""Circuits as OpenQASM 2 and 3 text with a card beside it, exactly, both ways.

A real gate is ``(RY ⊗ RY) exp(i(a XY + b YX)) (RY ⊗ RY)``: two CX, at most six rotations, every factor real. A complex
one takes at most three CX, one on three qubits and more what :mod:`adqc.wide` says. Only h, s, sdg, ry, rz and cx
occur, which every reader takes for the same matrices, signs and phases included (see :mod:`adqc.elementary`), and no
``gphase``, which most readers drop.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from adqc.bricks import parameters_of, patterns
from adqc.brickwall import BrickWall
from adqc.circuit import find_wall
from adqc.config import Circuit
from adqc.container import replacing
from adqc.elementary import ROTATIONS, Instruction, make_real, matrix, regroup
from adqc.files import CARD, CIRCUIT, read_pair
from adqc.gates import CARTAN_SU4, FAMILIES, FREE, SO4
from adqc.gauge import coordinates
from adqc.geometry import layout
from adqc.passes import with_phase
from adqc.qasm_card import check_program, describe, read_card
from adqc.qasm_match import match, match_wide
from adqc.qasm_text import HEADERS, LARGEST_ANGLE, fail, parse, write_lines
from adqc.simplify import simplify as simplified_circuit
from adqc.translate import elementary, exact_copy

# A damaged card shall not make us count to 10^18; gates that simplify to nothing leave no instruction behind.
MOST_GATES_BEYOND_TEXT = 20_000

# --- writing ----------------------------------------------------------------------------------------------------


def to_qasm(layer: nn.Module, *, version: int = 3, simplify: bool = False, decimals: int | None = None) -> str:
    """The circuit as OpenQASM text; ``q[k]`` is site k, and q[0] the most significant bit.

    A real gate takes 2 CX, a complex one 3, and any built-in gate on |00> takes 1; the error of a gate is below 1e-14,
    its sign and phase exact. Gates on three qubits and more take what :func:`adqc.wide.decompose_wide` says. Those of a
    family made by a user are written as PennyLane decomposes their operations, each compared with the gate's matrix.

    Args:
        layer: A compressed layer, or a BrickWall, with unitary gates.
        version: 2 or 3.
        simplify: Whether to write fewer gates for the same state; see :func:`adqc.simplify`.
        decimals: Digits behind the point of each angle, with ``simplify``; None keeps all.

    Returns:
        The text. Shape, layout, scale and crop are in the :func:`card`.

    Raises:
        ValueError: If the gates are not unitary, hold NaN or infinity, cannot be decomposed or, on three qubits and
            more with determinant -1, not be simplified, or the version is neither 2 nor 3.
        TypeError: If the module has no circuit.

    Example:
        >>> import adqc
        >>> text = to_qasm(adqc.BrickWall((2, 2), adqc.Circuit(depth=1)))
        >>> [line.split("(")[0] for line in text.splitlines() if not line.startswith("//")]
        ['OPENQASM 3.0;', 'include "stdgates.inc";', 'qubit[2] q;', 'ry', 'cx q[0],q[1];', 'ry', 'ry']

    Source: quant-ph/0308006.
    """
    return _export(find_wall(layer), version, simplify, decimals)[0]


def _export(
    wall: BrickWall, version: int, simplify: bool, decimals: int | None
) -> tuple[str, list[Instruction], float]:
    """The text, what it holds, and the bound on the weight's error."""
    if version not in HEADERS:
        raise ValueError(f"QASM can be written in version 2 or 3, got {version!r}")
    if decimals is not None and not simplify:
        raise ValueError(f"angles are rounded when the circuit is simplified: got decimals={decimals!r} without it")
    head, include, declaration = HEADERS[version]
    kind = (
        "A real state, gate by gate, signs included"
        if wall.family.real
        else "A state, global phase included; the weight is its real part"
    )
    lines = [
        head,
        f'include "{include}";',
        f"// {kind}; q[0] carries the most significant bit.",
        "// Shape, layout, scale and crop are in the card beside this file.",
    ]
    if not wall.family.real or wall.family.name not in FAMILIES or wall.family.sites > 2:
        lines.append("// ry(t) = exp(-itY/2), rz(t) = exp(-itZ/2), s = diag(1, i), sdg = diag(1, -i).")
    bound = 0.0
    if simplify:
        result = simplified_circuit(wall, decimals=decimals)
        listed, bound = list(result.instructions), result.bound
        if wall.family.sites > 2 and any(one.name not in ("ry", "cx") for one in listed):
            raise ValueError(
                f"a circuit of {wall.family.name!r} gates of which one has determinant -1 cannot be read back from "
                f"fewer gates, which mix such gates with others: write it without simplify"
            )
        lines.append("// Simplified: gates are merged beyond the bricks of the circuit.")
        if decimals is not None:
            lines.append(f"// Angles have {decimals} decimals: the weight is off by at most {bound:.1e} (2-norm).")
        lines += [declaration.format(wall.sites), *write_lines(listed)]
        return "\n".join(lines) + "\n", listed, bound
    wall = exact_copy(wall)
    bricks, phase = elementary(wall)
    listed = [one for brick in bricks for one in brick]
    whole = with_phase(listed, phase)
    largest = max((abs(one.angle) for one in whole), default=0.0)
    if largest > LARGEST_ANGLE:
        raise ValueError(
            f"the circuit of shape {wall.shape} has an angle of {largest:.3g}, but QASM is read with angles up to "
            f"{LARGEST_ANGLE:,.0f}: take whole turns out of its parameters"
        )
    lines.append(declaration.format(wall.sites))
    if len(whole) > len(listed):
        lines += ["// the circuit's phase, from a qubit in |0>", *write_lines(whole[:1])]
    at = len(whole) - len(listed)
    for number, (brick, layer_number) in enumerate(zip(bricks, wall.wiring.layer_of, strict=True)):
        lines.append(f"// gate {number}, layer {layer_number}")
        lines += write_lines(whole[at : at + len(brick)])
        at += len(brick)
    return "\n".join(lines) + "\n", whole, bound


def card(layer: nn.Module, *, version: int = 3, simplify: bool = False, decimals: int | None = None) -> dict[str, Any]:
    """What the text of :func:`to_qasm` does not say: how its amplitudes become the weight.

    Args:
        layer: A compressed layer, or a BrickWall, with unitary gates.
        version: The version of the text that the card goes with.
        simplify: As for the text.
        decimals: As for the text.

    Returns:
        Plain values for JSON. ``sha256`` is that of the text in UTF-8; ``program`` knows the circuit again where
        Qiskit has written it anew; ``error_bound`` says how far rounding took the weight.

    Raises:
        ValueError: As :func:`to_qasm`.
        TypeError: If the module has no circuit.
    """
    return _export_with_card(find_wall(layer), version, simplify, decimals)[1]


def _export_with_card(
    wall: BrickWall, version: int, simplify: bool, decimals: int | None
) -> tuple[str, dict[str, Any]]:
    text, instructions, bound = _export(wall, version, simplify, decimals)
    written = {"simplified": simplify, "decimals": decimals, "error_bound": bound}
    return text, describe(wall, text, instructions, version=version, written=written)


# --- reading ----------------------------------------------------------------------------------------------------


def from_qasm(
    text: str, card: Mapping[str, Any], *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float64
) -> BrickWall:
    """The circuit that :func:`to_qasm` wrote, read from the gates in the text.

    Args:
        text: OpenQASM 2 or 3, as this library writes it, or as Qiskit writes (``qasm2.dumps``, ``qasm3.dumps``) what it
            read from there.
        card: The card beside it, as :func:`card` made it.
        device: Device of the parameters.
        dtype: Type of the parameters; float64 keeps the weight to 1e-12 (to 1e-9 for each angle that Qiskit wrote as a
            fraction of pi).

    Returns:
        A circuit with equal weight: of the card's family where it is built in (``cartan``, not simplified: the same
        parameters, bit by bit, in float64; else others that give the same state); for real families made by a user an
        ``so4`` circuit, or, where a gate has determinant -1, a ``free`` one; for all else ``cartan-su4``.

    Raises:
        ValueError: If the card is damaged, newer than this version or of another text, or the text is not what this
            library writes (with line and column).

    Example:
        >>> import adqc
        >>> wall = adqc.BrickWall((3, 5), adqc.Circuit(depth=2), dtype=torch.float64)
        >>> bool((from_qasm(to_qasm(wall), adqc.qasm.card(wall))() == wall()).all())
        True
    """
    shape, config, scale = read_card(card)
    qubits, instructions = parse(text)
    check_program(text, instructions, card)
    if card.get("qubits") != qubits:
        raise ValueError(f"the card says {card.get('qubits')!r} qubits, but the QASM text has {qubits}")
    axes = config.get("axes", shape)
    if math.prod(axes) != math.prod(shape):
        raise ValueError(f"the card's axes {axes} hold another number of entries than its shape {shape}")
    seen = {key: config[key] for key in ("axes", "frequencies") if key in config}
    arrangement = layout(Circuit(**seen).keep(shape), config["layout"])
    expected = {"qubits": arrangement.sites, "order": list(arrangement.order), "padded": list(arrangement.padded)}
    for key, value in expected.items():
        if card.get(key) != value:
            raise ValueError(f"the card's shape and layout make {key} {value}, but it says {card.get(key)!r}")
    gates = config["depth"] * (qubits - 1) // 2
    known = FAMILIES.get(config["gate"])
    beyond = MOST_GATES_BEYOND_TEXT // 4 ** (0 if known is None else known.sites - 2)
    if gates > beyond + len(instructions):
        raise ValueError(
            f"the card's depth {config['depth']} makes some {gates:,} gates, but the QASM text has "
            f"{len(instructions):,} instructions only"
        )
    wall = _rebuild(text, instructions, shape, config, strict=card.get("simplified") is not True)
    with torch.no_grad():
        wall.scale.fill_(scale)
    return wall.to(torch.get_default_device() if device is None else device, dtype)


def _rebuild(
    text: str, instructions: list[Instruction], shape: tuple[int, ...], config: dict[str, Any], *, strict: bool
) -> BrickWall:
    known = FAMILIES.get(config["gate"])
    wall = _empty(shape, config, "so4" if known is None else known.name)
    if strict and known is not None and known.sites > 2:
        gates = match_wide(text, instructions, wall.wiring)
        real = gates.real if np.abs(gates.imag).max() < 1e-9 else None
    elif strict and known is not None and known.real:
        found = match(text, instructions, wall.wiring.gates, patterns(wall))
        turns = [[one.angle for one in brick if one.name in ROTATIONS] for brick in found]
        return wall.set_gate_parameters_(parameters_of(wall, turns))
    else:
        steps = ((matrix(one.name, one.angle), one.wires, one.position) for one in instructions)
        gates = regroup(steps, wall.wiring, lambda position, message: fail(text, position, message))
        real = make_real(gates)
    if known is not None:
        if known.real and real is None:
            raise ValueError(f"the card's family {known.name!r} is real, but the gates of the QASM text are complex")
        matrices = torch.from_numpy(real if known.real else gates)
        return wall.set_gate_parameters_(coordinates(known, wall.wiring, matrices))
    if real is None:
        params = coordinates(CARTAN_SU4, wall.wiring, torch.from_numpy(gates))
        return _empty(shape, config, CARTAN_SU4.name).set_gate_parameters_(params)
    improper = torch.linalg.det(torch.from_numpy(real)) < 0
    if any(negative and not any(fresh) for negative, fresh in zip(improper, wall.wiring.fresh, strict=True)):
        return _empty(shape, config, FREE.name).set_gate_parameters_(torch.from_numpy(real).flatten(1))
    return wall.set_gate_parameters_(coordinates(SO4, wall.wiring, torch.from_numpy(real)))


def _empty(shape: tuple[int, ...], config: dict[str, Any], gate: str) -> BrickWall:
    # With a generator of its own, for the caller's random stream shall not notice.
    config = {**config, "gate": gate}
    return BrickWall(shape, Circuit(**config), generator=torch.Generator(), device="cpu", dtype=torch.float64)


# --- files ------------------------------------------------------------------------------------------------------


def save_qasm(
    layer: nn.Module,
    folder: str | os.PathLike[str],
    *,
    version: int = 3,
    simplify: bool = False,
    decimals: int | None = None,
) -> Path:
    """Write ``circuit.qasm`` and ``card.json`` into a folder, made where it is missing.

    Args:
        layer: A compressed layer, or a BrickWall, with unitary gates.
        folder: Where to write.
        version: 2 or 3.
        simplify: As for :func:`to_qasm`.
        decimals: As for :func:`to_qasm`.

    Returns:
        The folder.

    Raises:
        ValueError: As :func:`to_qasm`; nothing is written then.
        OSError: If the folder cannot be written.
    """
    text, described = _export_with_card(find_wall(layer), version, simplify, decimals)
    contents = {CIRCUIT: text, CARD: json.dumps(described, indent=2) + "\n"}
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with replacing(path / name) as temporary:
            temporary.write_bytes(content.encode())
    return path


def load_qasm(folder: str | os.PathLike[str], **options: Any) -> BrickWall:
    """The circuit that :func:`save_qasm` wrote.

    Args:
        folder: Where ``circuit.qasm`` and ``card.json`` lie.
        **options: ``device`` and ``dtype``, as for :func:`from_qasm`.

    Returns:
        The circuit.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, as :func:`from_qasm`.
    """
    path = Path(folder)
    for name in (CIRCUIT, CARD):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} holds no {name}: expected a folder with {CIRCUIT} and {CARD}")
    text, described = read_pair(path / CIRCUIT, path / CARD)
    return from_qasm(text, described, **options)
