"""What a forked child must not take over: threads, connections and locks that only its parent has.

DataLoaders, Celery and `gunicorn --preload` fork after the parent has published. Threads don't exist in the child, a
socket that both write to mixes their words, and a lock that another thread held stays locked for ever.
"""

import ctypes
import os
import weakref
from typing import Protocol


class Inherited(Protocol):
    """Something that a child finds and can't use as it is."""

    def after_fork(self) -> None:
        """Called in the child, which has one thread: begin anew, and let go of nothing that is the parent's."""
        ...


_inherited: "weakref.WeakSet[Inherited]" = weakref.WeakSet()


def renew_in_children(thing: Inherited) -> None:
    """Have ``thing.after_fork`` called in every child that is forked while ``thing`` lives."""
    _inherited.add(thing)


def never_freed(thing: object) -> None:
    """Keep the child from freeing what waits, when it is freed, for threads that only the parent has."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _after_fork() -> None:
    for thing in list(_inherited):
        thing.after_fork()


os.register_at_fork(after_in_child=_after_fork)
