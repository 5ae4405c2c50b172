"""What numba compiles, and how it is kept on disk.

numba writes the machine code of a function beside its source, into __pycache__, or where it may not write there into
the user's cache folder, and takes it up again in the next process. By itself it notices a change only in the file of
that function; here also in the modules whose functions it calls.
"""

import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.extending import intrinsic
from numba.np.numpy_support import carray

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def jit(function: Callable[..., Any]) -> Any:
    """For what compiled functions call."""
    return njit(forceinline=True, **OPTIONS)(function)


def cached_jit(*parts: ModuleType) -> Callable[[Callable[..., Any]], Any]:
    """For what Python calls. parts: the other modules whose compiled functions it calls, directly or not.

    To be called with arguments of the same types always, so that one compilation serves everybody.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher: Any = njit(**OPTIONS)(function)
        try:
            dispatcher._cache = _Cache(function, parts)
        except RuntimeError:  # there is no folder to write to: each process compiles for itself
            return dispatcher
        return dispatcher

    return decorate


class _Cache(FunctionCache):
    def __init__(self, function: Callable[..., Any], parts: tuple[ModuleType, ...]) -> None:
        super().__init__(function)
        sources = [hashlib.sha256(inspect.getsource(part).encode()).hexdigest() for part in parts]
        self._cache_file._source_stamp = (self._impl.locator.get_source_stamp(), *sources)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (ImportError, AttributeError):  # it was kept with types of a module that has moved since
            self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:  # a full disk costs the next process a compilation, not this one its search
            return


def _as_pointer(typing: Any, address: Any) -> Any:  # noqa: ARG001  (numba calls it)
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001  (numba calls it)
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), build


_pointer: Any = intrinsic(_as_pointer)


@jit
def int64s(address: int, size: int) -> Any:
    """The array that lies at an address. Whoever passes an address holds on to what is there."""
    return carray(_pointer(address), size, np.int64)


@jit
def float32s(address: int, size: int) -> Any:
    return carray(_pointer(address), size, np.float32)


def _as_borrowed(typing: Any, held: Any) -> Any:  # noqa: ARG001  (numba calls it)
    def lend(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, value)
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            return array._getvalue()
        members: Any = getattr(kind, "types", ())
        for i, member in enumerate(members):
            value = builder.insert_value(value, lend(context, builder, member, builder.extract_value(value, i)), i)
        return value

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return lend(context, builder, signature.args[0], arguments[0])

    return held(held), build


# An array, or a tuple with arrays in it, without its share in them: the caller holds on to them meanwhile. Otherwise
# every slice, and many a call, counts the references of an array up and down, which stops the processor for a moment.
borrowed: Any = intrinsic(_as_borrowed)
