"""Neural-network weights as quantum circuits: compress layers to a few hundred numbers, train them, export them."""

from __future__ import annotations

from adqc import nn
from adqc.brickwall import BrickWall
from adqc.checkpoint import load_, save
from adqc.circuit import to_pennylane, to_quimb
from adqc.compress import compress_, decompress_, plan
from adqc.config import Circuit, Fit
from adqc.exchange import from_pennylane, from_quimb
from adqc.explanation import explain
from adqc.finetune import finetune, parameter_groups
from adqc.fit import fit_
from adqc.gates import GateFamily
from adqc.gauge import convert
from adqc.outputs import fit_outputs_
from adqc.qasm import card, from_qasm, to_qasm
from adqc.relax import project_, relax_, unitarity
from adqc.simplify import simplify
from adqc.together import together_
from adqc.user_gates import gate_family
from adqc.verify import verify

__version__ = "0.1.0"

__all__ = [
    "BrickWall",
    "Circuit",
    "Fit",
    "GateFamily",
    "card",
    "compress_",
    "convert",
    "decompress_",
    "explain",
    "finetune",
    "fit_",
    "fit_outputs_",
    "from_pennylane",
    "from_qasm",
    "from_quimb",
    "gate_family",
    "load_",
    "nn",
    "parameter_groups",
    "plan",
    "project_",
    "relax_",
    "save",
    "simplify",
    "to_pennylane",
    "to_qasm",
    "to_quimb",
    "together_",
    "unitarity",
    "verify",
]
