"""Loops over few numbers as machine code, made by numba at the first call and kept on disk.

Within a training step, behind all that other layers do, code takes longer than when it is called again and again, and
the more the longer it is, as a library's is. A loop of ours is short.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def inlined(function: _Function) -> _Function:
    """The same as :func:`compiled`, for a few steps that become part of what calls them."""
    return compiled(function, inline=True)


def merged(function: _Function) -> _Function:
    """The same, for many steps that are called in one or two places: they become part of these before anything is
    compiled, as the compiler goes through all that is called once more for each function that calls it."""
    return compiled(function, merge=True)


def compiled(function: _Function, *, inline: bool = False, merge: bool = False) -> _Function:
    """A function of arrays in row-major order and plain numbers that compiles itself, for each type of its arguments.

    Args:
        function: Loops over entries, in what numba knows of Python.
        inline: Whether its machine code becomes part of what calls it.
        merge: Whether it becomes part of that before it is compiled.

    Raises:
        RuntimeError: At a call, where numba's compiler is switched off.
    """

    @cache
    def compile_once(use: str = "called") -> Callable[..., Any]:
        # Not at import, as numba takes a while to load.
        import numba

        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            raise RuntimeError(
                f"the loops of {function.__module__} need numba's compiler, which is switched off: unset "
                f"NUMBA_DISABLE_JIT, or use route='gates'"
            )
        # What is only linked has no entry for Python, where a call would crash, and takes half as long to compile.
        # Sums may be taken in any order, as a library's are; infinities and NaN stay what they are.
        options: dict[str, Any] = {
            "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}, "forceinline": inline,
            "inline": "always" if merge else "never", "no_cfunc_wrapper": True, "no_cpython_wrapper": use != "called",
        }  # fmt: skip
        linked = _link(function, use)
        try:
            made = numba.njit(cache=True, **options)(linked)
        except RuntimeError:
            # Neither beside the file nor in the user's own folder can anything be written.
            made = numba.njit(**options)(linked)
        _take_numbers_as_they_come_(made)
        if use == "called":
            _announce_(made)
        found: Callable[..., Any] = made
        return found

    @wraps(function)
    def call(*args: Any) -> Any:
        return compile_once()(*args)

    call.compile_once = compile_once  # type: ignore[attr-defined]
    call.sources = cache(lambda: _find_sources(function))  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _take_numbers_as_they_come_(made: Any) -> None:
    """Have a function compiled once for all numbers of a type, where its callers name some: else for each of these."""
    from numba.core.types import unliteral

    asked = made.get_call_template
    made.get_call_template = lambda args, kws: asked(tuple(map(unliteral, args)), kws)


def _announce_(made: Any) -> None:
    """Have it said, once, where something is compiled and not taken from disk."""
    from numba.core import event

    class Teller(event.Listener):
        def on_start(self, _: Any) -> None:
            _tell()

        def on_end(self, _: Any) -> None:
            pass

    compile_or_load, teller = made.compile, Teller()

    def compile_and_tell(signature: Any) -> Any:
        with event.install_listener("numba:compile", teller):
            return compile_or_load(signature)

    made.compile = compile_and_tell


@cache
def _tell() -> None:
    logging.getLogger("adqc").warning(
        "adqc compiles its loops for this processor, once on a machine: the first calls take up to half a minute"
    )


class Made:
    """What loops call that is no loop: made when the first of them is compiled.

    Args:
        make: Makes what numba takes.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        made = cache(make)
        self.compile_once: Callable[..., Any] = lambda _use="linked": made()
        # A function, or one with some of its arguments.
        self.sources = cache(lambda: {getattr(make, "func", make).__code__.co_filename})

    def __call__(self, *args: Any) -> Any:
        """Nothing for plain Python.

        Raises:
            TypeError: Always.
        """
        raise TypeError("this is a function for compiled loops alone, which call it where they are compiled")


def _find_others(function: Callable[..., Any]) -> dict[str, Any]:
    """What it calls by name that is compiled or made, too."""
    known = function.__globals__
    return {name: known[name] for name in function.__code__.co_names if hasattr(known.get(name), "compile_once")}


def _find_sources(function: Callable[..., Any]) -> set[str]:
    """The files that its machine code is made of."""
    return {function.__code__.co_filename}.union(*(other.sources() for other in _find_others(function).values()))


@cache
def _digest(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        # In an archive, say, which changes as a whole.
        return ""


def _link(function: Callable[..., Any], use: str) -> Callable[..., Any]:
    """The function, its calls of other compiled ones of its module being those of their machine code.

    Args:
        function: Which one.
        use: ``"called"`` from Python, or ``"linked"``, which Python cannot call.
    """
    others = {name: other.compile_once("linked") for name, other in _find_others(function).items()}
    linked = FunctionType(function.__code__, {**function.__globals__, **others})
    # What is kept on disk goes by this name, and by the date of the function's own file, but holds code of all.
    whole = "".join(map(_digest, sorted(_find_sources(function))))
    linked.__qualname__ = f"{function.__qualname__}_{use}_{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
    return linked
