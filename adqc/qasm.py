"""Real circuits as OpenQASM 2 and 3 text with a card beside it, exactly, both ways.

A gate of SO(4) is ``(RY ⊗ RY) exp(i(a XY + b YX)) (RY ⊗ RY)``, and ``exp(i(a XY + b YX))`` is
``H(0) CX [RY(2b) ⊗ RY(-2a)] CX H(0)``: two CX, at most six rotations, every factor real. So only h, ry and cx occur,
whose matrices are the same in all dialects, signs included (rz differs by a phase between OpenQASM 2 and 3).
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adqc import angles
from adqc.brickwall import BrickWall
from adqc.circuit import find_wall, mirror_flags
from adqc.config import Circuit
from adqc.geometry import layout
from adqc.qasm_text import HEADERS, Instruction, fail, number_text, parse

CARD_FORMAT = "adqc-circuit"
CARD_VERSION = 1
# No circuit that anyone stores has more gates; a damaged card shall not make us count to 10^18.
MOST_GATES = 10_000_000

# --- writing ----------------------------------------------------------------------------------------------------


def to_qasm(layer: nn.Module, *, version: int = 3) -> str:
    """The circuit as OpenQASM text; ``q[k]`` is site k, and q[0] the most significant bit.

    A gate takes 2 CX, and 1 where it acts on |00>; the error of a gate is below 1e-14, its sign exact. A real unitary
    family made by a user is written through SO(4); its gates of determinant -1 take a third CX.

    Args:
        layer: A compressed layer, or a BrickWall, with real unitary gates.
        version: 2 or 3.

    Returns:
        The text. Shape, layout, scale and crop are in the :func:`card`.

    Raises:
        ValueError: If the gates are not real and unitary, hold NaN or infinity, or the version is neither 2 nor 3.
        TypeError: If the module has no circuit.

    Example:
        >>> import adqc
        >>> text = to_qasm(adqc.BrickWall((2, 2), adqc.Circuit(depth=1)))
        >>> [line.split("(")[0] for line in text.splitlines() if not line.startswith("//")]
        ['OPENQASM 3.0;', 'include "stdgates.inc";', 'qubit[2] q;', 'ry', 'cx q[0],q[1];', 'ry', 'ry']
    """
    if version not in HEADERS:
        raise ValueError(f"QASM can be written in version 2 or 3, got {version!r}")
    wall = _exact(find_wall(layer))
    head, include, declaration = HEADERS[version]
    lines = [
        head,
        f'include "{include}";',
        "// A real state, gate by gate, signs included; q[0] carries the most significant bit.",
        "// Shape, layout, scale and crop are in the card beside this file.",
        declaration.format(wall.sites),
    ]
    left, right, mirrors = _brick_angles(wall)
    wiring = wall.wiring
    for number, (sites, layer_number) in enumerate(zip(wiring.gates, wiring.layer_of, strict=True)):
        lines.append(f"// gate {number}, layer {layer_number}")
        turns = _turns(left[number].tolist(), right[number].tolist())
        for name, wires, slot in _brick(wall.family.name, sites, wiring.fresh[number], mirror=mirrors[number]):
            operands = ",".join(f"q[{wire}]" for wire in wires)
            lines.append(f"{name} {operands};" if slot is None else f"{name}({number_text(turns[slot])}) {operands};")
    return "\n".join(lines) + "\n"


def _exact(wall: BrickWall) -> BrickWall:
    """A float64 copy on the CPU of a circuit that QASM can hold."""
    family = wall.family
    if not (family.real and family.unitary) or family.sites != 2:
        kind = "not unitary" if not family.unitary else "complex" if not family.real else f"on {family.sites} qubits"
        remedy = "project it with adqc.project_" if not family.unitary else "choose 'cartan' or 'so4'"
        raise ValueError(
            f"QASM needs real unitary gates on two qubits, but the circuit of shape {wall.shape} has the gate "
            f"{family.name!r}, which is {kind}: {remedy}"
        )
    wall = copy.deepcopy(wall).to("cpu", torch.float64)
    for name, parameter in wall.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(f"the circuit of shape {wall.shape} has NaN or infinity in {name!r}: QASM needs numbers")
    return wall


@torch.no_grad()
def _brick_angles(wall: BrickWall) -> tuple[Tensor, Tensor, list[bool]]:
    """Euler angles of the left and right quaternion of each gate, (G, 3), and which have determinant -1."""
    params = wall.gate_parameters()
    mirrors = [False] * len(params)
    zero = params.new_zeros(len(params))
    if wall.family.name == "cartan":
        # Doubling and halving are exact, so these angles come back bit by bit.
        inner, other, turn, second = params.unbind(-1)
        return torch.stack([turn / -2, inner, zero], -1), torch.stack([second / -2, other, zero], -1), mirrors
    matrices = wall.matrices().clone()
    error = matrices @ matrices.mT - torch.eye(4, dtype=matrices.dtype, device="cpu")
    if (error.abs() > 1e-10).any():
        raise ValueError(f"gate family {wall.family.name!r} says it is unitary, but it made a gate that is not")
    negative = mirror_flags(wall)
    for number, fresh in enumerate(wall.wiring.fresh):
        if negative[number] and not all(fresh):
            # CX does nothing where its control is still |0>; elsewhere it has to be undone.
            flipped = [0, 3, 2, 1] if fresh[1] else [0, 1, 3, 2]
            matrices[number] = matrices[number][:, flipped]
            mirrors[number] = not any(fresh)
    angle, turn, second = angles.real_schmidt(matrices[:, :, 0]).unbind(-1)
    left, right = (angles.euler_angles(quaternion) for quaternion in angles.split_rotation(matrices))
    first = torch.tensor([all(fresh) for fresh in wall.wiring.fresh], dtype=torch.bool, device="cpu").unsqueeze(-1)
    left = torch.where(first, torch.stack([turn / -2, -angle, zero], -1), left)
    right = torch.where(first, torch.stack([second / -2, zero, zero], -1), right)
    return left, right, mirrors


def _turns(left: list[float], right: list[float]) -> dict[str, float]:
    """The angle of each rotation of a brick, from the Euler angles of its two quaternions."""
    return {
        "before 0": -2 * left[2], "before 1": -2 * right[2],
        "inner 0": 2 * right[1], "inner 1": -2 * left[1],
        "after 0": -2 * left[0], "after 1": -2 * right[0],
    }  # fmt: skip


def _brick(
    family: str, sites: tuple[int, ...], fresh: tuple[bool, ...], *, mirror: bool
) -> Iterator[tuple[str, tuple[int, ...], str | None]]:
    """The elementary gates of one brick: name, wires, and which of its angles it takes."""
    first, second = sites
    if all(fresh):
        yield "ry", (first,), "inner 1"
        yield "cx", (first, second), None
    else:
        if mirror:
            yield "cx", (first, second), None
        if family != "cartan":
            yield "ry", (first,), "before 0"
            yield "ry", (second,), "before 1"
        yield "h", (first,), None
        yield "cx", (first, second), None
        yield "ry", (first,), "inner 0"
        yield "ry", (second,), "inner 1"
        yield "cx", (first, second), None
        yield "h", (first,), None
    yield "ry", (first,), "after 0"
    yield "ry", (second,), "after 1"


def card(layer: nn.Module, *, version: int = 3) -> dict[str, Any]:
    """What the text of :func:`to_qasm` does not say: how its amplitudes become the weight.

    Args:
        layer: A compressed layer, or a BrickWall, with real unitary gates.
        version: The version of the text that the card goes with.

    Returns:
        Plain values for JSON; ``sha256`` is that of the text in UTF-8.

    Raises:
        ValueError: As :func:`to_qasm`.
        TypeError: If the module has no circuit.
    """
    wall = find_wall(layer)
    text = to_qasm(wall, version=version)
    config = wall.config.to_dict()
    return {
        "format": CARD_FORMAT,
        "format_version": CARD_VERSION,
        "openqasm": version,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "shape": list(wall.shape),
        "padded": list(wall.layout.padded),
        "qubits": wall.sites,
        "layout": config["layout"],
        "order": list(wall.layout.order),
        "wiring": config["wiring"],
        "depth": config["depth"],
        "family": config["gate"],
        "parameters": wall.parameter_count,
        "scale": wall.scale.detach().double().item(),
        "conventions": {
            "qubits": "q[k] is site k of the chain; q[0] is the most significant bit of the state's index",
            "order": "order[k] is the bit that site k carries; the bits of axis 0 come first, most significant first",
            "weight": "scale times the real amplitudes, reshaped to padded, each axis cropped to its first entries",
        },
    }


# --- reading ----------------------------------------------------------------------------------------------------


def from_qasm(
    text: str, card: Mapping[str, Any], *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float64
) -> BrickWall:
    """The circuit that :func:`to_qasm` wrote, read from the gates in the text.

    Args:
        text: OpenQASM 2 or 3, as this library writes it.
        card: The card beside it, as :func:`card` made it.
        device: Device of the parameters.
        dtype: Type of the parameters; float64 keeps the weight to 1e-12.

    Returns:
        A circuit with equal weight: of the card's family for ``cartan`` (the same parameters, bit by bit, in float64)
        and ``so4`` (equal gates; a gate has many sets of parameters); for families made by a user an ``so4`` circuit,
        or, where a gate has determinant -1, a ``free`` one with the same unitary gates.

    Raises:
        ValueError: If the card is damaged, newer than this version or of another text, or the text is not what this
            library writes (with line and column).

    Example:
        >>> import adqc
        >>> wall = adqc.BrickWall((3, 5), adqc.Circuit(depth=2), dtype=torch.float64)
        >>> bool((from_qasm(to_qasm(wall), adqc.qasm.card(wall))() == wall()).all())
        True
    """
    shape, config, scale = _read_card(text, card)
    family = config["gate"]
    qubits, instructions = parse(text)
    arrangement = layout(shape, config["layout"])
    expected = {"qubits": arrangement.sites, "order": list(arrangement.order), "padded": list(arrangement.padded)}
    for key, value in expected.items():
        if card.get(key) != value:
            raise ValueError(f"the card's shape and layout make {key} {value}, but it says {card.get(key)!r}")
    if qubits != arrangement.sites:
        raise ValueError(f"the card says {arrangement.sites} qubits, but the QASM text has {qubits}")
    wall = _empty(shape, config, family if family in ("cartan", "so4") else "so4")
    left, right, mirrors = _match(text, instructions, wall, family)
    if family == "cartan":
        params = torch.stack([left[:, 1], right[:, 1], -2 * left[:, 0], -2 * right[:, 0]], dim=-1)
    else:
        pair = angles.from_euler(left), angles.from_euler(right)
        if any(mirrors):
            wall = _empty(shape, config, "free")
            gates = angles.join_rotation(*pair)
            flip = torch.tensor(mirrors, device="cpu")[:, None, None]
            params = torch.where(flip, gates[:, :, [0, 1, 3, 2]], gates).flatten(1)
        else:
            logarithm = [angles.quaternion_logarithm(q) for q in pair]
            params = angles.to_special_unitary(*logarithm)
    wall.set_gate_parameters_(params)
    with torch.no_grad():
        wall.scale.fill_(scale)
    return wall.to(torch.get_default_device() if device is None else device, dtype)


def _empty(shape: tuple[int, ...], config: dict[str, Any], gate: str) -> BrickWall:
    # With a generator of its own, for the caller's random stream shall not notice.
    config = {**config, "gate": gate}
    return BrickWall(shape, Circuit(**config), generator=torch.Generator(), device="cpu", dtype=torch.float64)


def _read_card(text: str, card: Mapping[str, Any]) -> tuple[tuple[int, ...], dict[str, Any], float]:
    if not isinstance(card, Mapping) or card.get("format") != CARD_FORMAT:
        raise ValueError(f"a card is a mapping with format {CARD_FORMAT!r}, as adqc.qasm.card makes it; this is none")
    if card.get("format_version") != CARD_VERSION:
        raise ValueError(
            f"the card has format version {card.get('format_version')!r}, but this adqc reads version {CARD_VERSION}: "
            f"update adqc"
        )
    found = hashlib.sha256(text.encode()).hexdigest()
    if card.get("sha256") != found:
        raise ValueError(
            f"the card goes with a text of sha256 {card.get('sha256')!r}, but this one has {found!r}: "
            f"the text was altered or belongs to another card"
        )

    def take(key: str, fits: Any, what: str) -> Any:
        value = card.get(key)
        if not fits(value):
            raise ValueError(f"the card's {key!r} must be {what}, got {value!r}")
        return value

    def whole(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**62

    def listed(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and 1 <= len(value) <= 64 and all(map(whole, value))

    def finite(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

    shape = tuple(take("shape", listed, "a list of whole numbers from 1 on"))
    depth = take("depth", lambda d: whole(d) and d * 64 * len(shape) <= MOST_GATES, "a whole number from 1 on")
    order = take("layout", lambda v: isinstance(v, (str, list, tuple)), "a name or a list of bit numbers")
    wiring = take("wiring", lambda v: isinstance(v, str), "a name")
    family = take("family", lambda v: isinstance(v, str), "a name")
    if family in ("free", "su4", "cartan-su4"):
        raise ValueError(f"QASM needs real unitary gates, but the card's family is {family!r}: the card was altered")
    scale = float(take("scale", finite, "a finite number"))
    order = order if isinstance(order, str) else tuple(order)
    return shape, {"depth": depth, "gate": family, "layout": order, "wiring": wiring}, scale


def _match(
    text: str, instructions: list[Instruction], wall: BrickWall, family: str
) -> tuple[Tensor, Tensor, list[bool]]:
    """The inverse of :func:`_brick_angles`: angles from instructions that must be the wall's own, gate by gate."""
    wiring = wall.wiring
    mirrors = [False] * len(wiring.gates)
    rows: list[list[float]] = []
    at = 0
    for number, (sites, fresh) in enumerate(zip(wiring.gates, wiring.fresh, strict=True)):
        follows = instructions[at].name if at < len(instructions) else ""
        mirrors[number] = follows == "cx" and family not in ("cartan", "so4") and not any(fresh)
        turns = dict.fromkeys(_turns([0.0] * 3, [0.0] * 3), 0.0)
        for name, wires, slot in _brick(family, sites, fresh, mirror=mirrors[number]):
            due = str(Instruction(name, 0.0, wires, 0))
            if at == len(instructions):
                fail(text, len(text), f"gate {number} on sites {sites} should go on with '{due}', but the text ends")
            given = instructions[at]
            if str(given) != due:
                fail(text, given.position, f"gate {number} on sites {sites} should go on with '{due}', got '{given}'")
            if slot is not None:
                turns[slot] = given.angle
            at += 1
        rows.append([turns["after 0"], turns["inner 1"], turns["before 0"]])
        rows.append([turns["after 1"], -turns["inner 0"], turns["before 1"]])
    if at < len(instructions):
        fail(text, instructions[at].position, f"the circuit of the card ends before '{instructions[at]}'")
    halves = torch.tensor(rows, dtype=torch.float64, device="cpu").reshape(-1, 2, 3) / -2
    return halves[:, 0], halves[:, 1], mirrors


# --- files ------------------------------------------------------------------------------------------------------


def save_qasm(layer: nn.Module, folder: str | os.PathLike[str], *, version: int = 3) -> Path:
    """Write ``circuit.qasm`` and ``card.json`` into a folder, made where it is missing.

    Args:
        layer: A compressed layer, or a BrickWall, with real unitary gates.
        folder: Where to write.
        version: 2 or 3.

    Returns:
        The folder.

    Raises:
        ValueError: As :func:`to_qasm`; nothing is written then.
        OSError: If the folder cannot be written.
    """
    described = card(layer, version=version)
    contents = {"circuit.qasm": to_qasm(layer, version=version), "card.json": json.dumps(described, indent=2) + "\n"}
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        # Whoever reads the folder meanwhile finds the whole old file or the whole new one.
        temporary = path / f".{name}.{os.getpid()}"
        try:
            temporary.write_bytes(content.encode())
            temporary.replace(path / name)
        finally:
            temporary.unlink(missing_ok=True)
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
    for name in ("circuit.qasm", "card.json"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} holds no {name}: expected a folder with circuit.qasm and card.json")
    try:
        described = json.loads((path / "card.json").read_bytes())
        text = (path / "circuit.qasm").read_bytes().decode()
    except ValueError as error:
        raise ValueError(f"{path} holds a damaged card or circuit: {error}") from error
    return from_qasm(text, described, **options)
