"""The methods that are compared: circuits, rivals, and networks without either."""

from __future__ import annotations

from adqc.baselines import METHODS

FAMILIES = ("cartan", "so4", "su4", "free")
CIRCUITS = (*FAMILIES, "wide", "cosine")
# Their parameters do not depend on the budget.
FLAT = ("dense", "frozen")
# What they train is the network itself: their rates are factors of the recipe's.
WHOLE = ("dense", "frozen", "frozen-circuit", "narrow")
# The same method on the coefficients of cosines, for the layers of a recipe's [cosines].
COSINES = {"cosine": "wide", "cosine-train": "tensor-train"}
ALL = (*CIRCUITS, "frozen-circuit", *METHODS, "cosine-train", "narrow", "dense")
TITLES = {
    "cartan": "ADQC, minimal gates",
    "so4": "ADQC, SO(4) gates",
    "su4": "ADQC, SU(4) gates",
    "free": "ADTN, free gates",
    "wide": "ADQC, wide gates",
    "cosine": "ADQC, wide gates, of cosines",
    "frozen-circuit": "wide gates, frozen at their start",
    "frozen": "frozen at random",
    "low-rank": "low rank",
    "hashing": "hashing",
    "tensor-train": "tensor train, few cores",
    "quantised-train": "tensor train, 2 × 2 modes",
    "cosine-train": "tensor train, few cores, of cosines",
    "tucker": "Tucker (matrices: low rank)",
    "cp": "CP (matrices: low rank)",
    "pruned": "pruned by magnitude",
    "narrow": "narrow dense network",
    "dense": "dense network",
}
FACTORS = (1 / 3, 1.0, 3.0)
# What a method's layers begin as: random before anything is trained (the network then trains with both schedules, as
# the narrow one does); fitted to the trained dense network's; random in that network.
STARTS = ("scratch", "fitted", "random")
