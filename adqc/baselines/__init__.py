"""Rivals of the circuit at equal parameters: frozen random, tensor trains, low rank, Tucker, CP, hashing, pruning.

Each builds a weight from its own parameters, as a circuit does, and stands in a layer as a parametrization. Counted are
the numbers that are stored and trained; :attr:`Baseline.dimension` leaves out those that only choose between equal
weights.
"""

from adqc.baselines.cosines import InCosines
from adqc.baselines.simple import Baseline, Frozen, Hashing, LowRank, Pruned
from adqc.baselines.swap import METHODS, allot, find_method, replace_
from adqc.baselines.train import QuantisedTrain, TensorTrain, choose_ranks, count_parameters, factorise
from adqc.baselines.tucker import CP, Tucker

__all__ = [
    "CP",
    "METHODS",
    "Baseline",
    "Frozen",
    "Hashing",
    "InCosines",
    "LowRank",
    "Pruned",
    "QuantisedTrain",
    "TensorTrain",
    "Tucker",
    "allot",
    "choose_ranks",
    "count_parameters",
    "factorise",
    "find_method",
    "replace_",
]
