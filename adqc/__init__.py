"""Neural-network weights as quantum circuits."""

from __future__ import annotations

from adqc import nn
from adqc.brickwall import BrickWall
from adqc.config import Circuit, Fit
from adqc.gates import GateFamily, gate_family

__version__ = "0.1.0"

__all__ = ["BrickWall", "Circuit", "Fit", "GateFamily", "gate_family", "nn"]
