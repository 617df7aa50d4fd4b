"""What all commands share: bad input told in one sentence, and the console."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import typer

Command = TypeVar("Command", bound=Callable[..., None])

# What bad input raises: told in one sentence. Everything else is our own mistake and keeps its traceback.
USER_ERRORS = (ValueError, TypeError, OSError, MemoryError, FloatingPointError, ImportError)
PLAIN_WIDTH = 140


def guarded_command(function: Command, name: str) -> Command:
    """Tell bad input in one sentence (exit code 1) and Ctrl-C without a traceback (130)."""

    @functools.wraps(function)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except KeyboardInterrupt:
            hint = "; go on with --resume" if name == "run" else ""
            typer.echo(f"stopped{hint}", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader (head, less) has seen enough; typer ends quietly.
            raise
        except USER_ERRORS as error:
            if os.environ.get("ADQC_TRACEBACK"):
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None

    return cast(Command, guarded)


def command(where: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Register a command."""

    def register(function: Command) -> Command:
        where.command(name)(guarded_command(function, name))
        return function

    return register


def console() -> Any:
    """A ``rich.console.Console`` on stdout, wide enough for tables where it is a pipe."""
    from rich.console import Console

    found = Console(highlight=False)
    # A pipe has no width; tables shall not be cut for it.
    return found if found.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)
