"""How the simulator's functions are compiled: once, and kept on disk for the next process."""

import logging
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import numba

from wattshed.policies.policy import Candidate, Score

_CANDIDATE = Candidate(1, 1, 1.0, 1.0, 0.0, 0, 0, 1, 0, 0.0)
"""What a score is tried on."""

_TROUBLES = ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError
"""What numba raises, beside errors of its own, over Python that it does not know."""

_logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """The same function, compiled; its code is kept beside the source, or in the user's cache where that is read-only.

    Division is NumPy's (infinity and NaN, no error). Calls among compiled functions are resolved when they compile, so
    what is kept holds a copy of all that it calls: `records.clock_record` sees to it that no old copy is used.
    """
    return _kept(function, inline=False, door=True)


def inlined(function: Function) -> Function:
    """The same, a part of each compiled function that calls it; nothing else may."""
    return _kept(function, inline=True, door=False)


def exposed(function: Function) -> Function:
    """The same, a part of each compiled function that calls it, and open to Python too."""
    return _kept(function, inline=True, door=True)


@cache
def specialised(function: Function) -> Function:
    """The same function, compiled for this process: for scores, and for what takes one, a copy for each score."""
    return numba.njit(error_model="numpy", _nrt=False)(function)  # type: ignore[call-overload,no-any-return]  # see `_kept`


@cache
def compilable(score: Score, parameters: tuple[float, ...]) -> bool:
    """Whether numba can compile a score."""
    try:
        specialised(score)(_CANDIDATE, parameters)
    except (*_TROUBLES, numba.core.errors.NumbaError) as error:
        _logger.debug("numba cannot compile the score", extra={"reason": str(error)})
        return False
    return True


def _kept(function: Function, *, inline: bool, door: bool) -> Function:
    """Compiled, and kept on disk.

    A world is a dozen arrays: some 80 words to hand over in a call, and an atomic count each. Inlined and uncounted
    (no compiled function makes or keeps an array), the same run took a third of the time. A door from Python, for which
    a world has to be unpacked, takes as long to compile as the function behind it.
    """
    options = {"cache": True, "error_model": "numpy", "forceinline": inline, "_nrt": False}
    doors = {"no_cpython_wrapper": not door, "no_cfunc_wrapper": not door}
    return numba.njit(**options, **doors)(function)  # type: ignore[call-overload,no-any-return]  # its types know no _nrt
