"""Other libraries that can prepare the same state, one small module each.

Each module has one function, ``prepare(wall)``, which returns a function from the gates, (G, 4, 4) real torch matrices,
to the 2^Q amplitudes; what does not depend on the gates' values is done in ``prepare`` and not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor

import adqc

PEERS = {"tensorcircuit-ng": "tensorcircuit", "pyqtorch": "pyqtorch", "DeepQuantum": "deepquantum"}


def load_peer(name: str) -> Callable[[adqc.BrickWall], Callable[[Tensor], Tensor]]:
    """The function ``prepare`` of the peer named so.

    Raises:
        ImportError: If its package is not installed: ``pip install -c constraints.txt -e '.[bench]'``.
    """
    module: Any = import_module(f"benchmarks.peers.{PEERS[name]}")
    found: Callable[[adqc.BrickWall], Callable[[Tensor], Tensor]] = module.prepare
    return found
