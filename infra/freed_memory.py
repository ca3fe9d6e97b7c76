"""Memory that is not needed any more goes back to the system."""

import ctypes


def give_back() -> None:
    """Return what was freed: the C library keeps what many threads had for a while, for as long as the process lives.

    It takes some milliseconds. Nothing happens where the C library has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
