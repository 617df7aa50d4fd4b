"""The card beside a circuit's text: what it says, how it is checked, and how it knows its circuit again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from adqc.brickwall import BrickWall
from adqc.elementary import ROTATIONS, Instruction
from adqc.gates import FREE

CARD_FORMAT = "adqc-circuit"
CARD_VERSION = 1


def describe(
    wall: BrickWall, text: str, instructions: Sequence[Instruction], *, version: int, written: Mapping[str, Any]
) -> dict[str, Any]:
    """What a text does not say about its circuit, as plain values for JSON; ``written`` says how it was written."""
    config = wall.config.to_dict()
    return {
        "format": CARD_FORMAT,
        "format_version": CARD_VERSION,
        "openqasm": version,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "program": _fingerprint(instructions),
        **written,
        "shape": list(wall.shape),
        "padded": list(wall.layout.padded),
        "qubits": wall.sites,
        "layout": config["layout"],
        "order": list(wall.layout.order),
        "wiring": config["wiring"],
        # What cards of circuits without them do not say.
        **{key: config[key] for key in ("stride", "axes", "frequencies") if key in config},
        "depth": config["depth"],
        "family": config["gate"],
        "parameters": wall.parameter_count,
        "scale": wall.scale.detach().double().item(),
        "conventions": {
            "qubits": "q[k] is site k of the chain; q[0] is the most significant bit of the state's index",
            "order": "order[k] is the bit that site k carries; the bits of axis 0 come first, most significant first",
            "weight": "scale times the real part of the amplitudes, reshaped to padded, each axis cropped to its first "
            "entries"
            + (
                ", turned from coefficients of cosines (orthonormal DCT-II) into entries"
                if "frequencies" in config
                else ""
            )
            + (", and reshaped to shape" if "axes" in config else ""),
            "gates": "ry(t) = exp(-itY/2), rz(t) = exp(-itZ/2), s = diag(1, i), sdg = diag(1, -i)",
            "phase": "the amplitudes' sign and global phase are those of the gates' matrices; there is no gphase",
        },
    }


def _fingerprint(instructions: Sequence[Instruction]) -> dict[str, Any]:
    """Names and wires of all gates as a hash, and a sum that changes with each angle."""
    names = "\n".join(map(str, instructions))
    turns = [one.angle for one in instructions if one.name in ROTATIONS]
    return {"gates": hashlib.sha256(names.encode()).hexdigest(), "angles": _weighted_sum(turns)}


def _weighted_sum(turns: Sequence[float]) -> float:
    # Weights between 1 and 2 that differ from angle to angle, so that no exchange of two angles goes unseen.
    return math.fsum(turn * (1 + (number * 0.6180339887498949) % 1) for number, turn in enumerate(turns))


def read_card(card: Mapping[str, Any]) -> tuple[tuple[int, ...], dict[str, Any], float]:
    """Shape, configuration (as ``Circuit`` takes it) and scale of a card.

    Raises:
        ValueError: If it is no card, newer than this version, or holds what cannot be.
    """
    if not isinstance(card, Mapping) or card.get("format") != CARD_FORMAT:
        raise ValueError(f"a card is a mapping with format {CARD_FORMAT!r}, as adqc.qasm.card makes it; this is none")
    if card.get("format_version") != CARD_VERSION:
        raise ValueError(
            f"the card has format version {card.get('format_version')!r}, but this adqc reads version {CARD_VERSION}: "
            f"update adqc"
        )

    def take(key: str, fits: Any, what: str) -> Any:
        value = card.get(key)
        if not fits(value):
            raise ValueError(f"the card's {key!r} must be {what}, got {value!r}")
        return value

    def whole(value: Any, least: int = 1) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**62

    def listed(value: Any, least: int = 1) -> bool:
        return isinstance(value, (list, tuple)) and 1 <= len(value) <= 4096 and all(whole(v, least) for v in value)

    def finite(value: Any) -> bool:
        # An integer that no float holds is not finite either.
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300

    shape = tuple(take("shape", lambda v: listed(v) and len(v) <= 64, "a list of whole numbers from 1 on"))
    depth = take("depth", whole, "a whole number from 1 on")
    order = take("layout", lambda v: isinstance(v, str) or listed(v, 0), "a name or a list of bit numbers")
    wiring = take("wiring", lambda v: isinstance(v, str), "a name")
    family = take("family", lambda v: isinstance(v, str), "a name")
    if family == FREE.name:
        raise ValueError(f"QASM needs unitary gates, but the card's family is {family!r}: the card was altered")
    scale = float(take("scale", finite, "a finite number"))
    order = order if isinstance(order, str) else tuple(order)
    config = {"depth": depth, "gate": family, "layout": order, "wiring": wiring}
    if "stride" in card:
        config["stride"] = take("stride", lambda v: whole(v) and v < 64, "a small whole number from 1 on")
    if "axes" in card:
        axes = take("axes", lambda v: listed(v) and len(v) <= 64, "a list of whole numbers from 1 on")
        config["axes"] = tuple(axes)
    if "frequencies" in card:
        counts = take("frequencies", lambda v: listed(v, 0) and len(v) <= 64, "a list of whole numbers from 0 on")
        config["frequencies"] = tuple(counts)
    return shape, config, scale


def check_program(text: str, instructions: list[Instruction], card: Mapping[str, Any]) -> None:
    """See that the card goes with the text: to the letter, or gate by gate where Qiskit wrote it anew."""
    found = hashlib.sha256(text.encode()).hexdigest()
    if card.get("sha256") == found:
        return
    program = card.get("program")
    turns = [one for one in instructions if one.name in ROTATIONS]
    program = program if isinstance(program, Mapping) else {}
    total, named = program.get("angles"), isinstance(card.get("sha256"), str)
    if named and isinstance(total, float) and program.get("gates") == _fingerprint(instructions)["gates"]:
        # Qiskit writes 16 digits, and fractions of pi for angles within 1e-9 of one.
        allowed = 4e-9 * sum(one.rounded for one in turns) + 1e-14 * (1 + sum(abs(one.angle) for one in turns))
        if abs(_weighted_sum([one.angle for one in turns]) - total) <= allowed:
            return
    raise ValueError(
        f"the card goes with a text of sha256 {card.get('sha256')!r}, but this one has {found!r}: "
        f"the text was altered or belongs to another card"
    )
