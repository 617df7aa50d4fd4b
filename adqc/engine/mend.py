"""A repair of autoray, without which torch and numpy networks do not live in one process."""

from __future__ import annotations

from typing import Any


class _Namespaces(dict[Any, Any]):
    """Keeps no namespace that was asked for by a backend's name, since the key does not hold the name."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if key[0] is not str:
            super().__setitem__(key, value)


def mend_autoray() -> None:
    """Let each backend have its own functions in quimb and cotengra.

    autoray 0.8.4, which PennyLane 0.45 pins, keeps one namespace for all backends that are asked for by name: the
    first one asked for serves all. So after a torch network quimb could not read a circuit in numpy, and after a numpy
    circuit no torch network could be contracted. Later versions of autoray are left alone.
    """
    from autoray import autoray

    if autoray.get_namespace("torch") is autoray.get_namespace("numpy"):
        kept = {key: space for key, space in autoray._NAMESPACE_CACHE.items() if key[0] is not str}
        autoray._NAMESPACE_CACHE = _Namespaces(kept)
