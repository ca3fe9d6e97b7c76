"""Two files or folders that change names in one step: no reader finds either name without one."""

import ctypes
import errno
import os
from pathlib import Path

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_CANT = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What kernels and file systems (NFS) answer that know no such step."""


def exchange(one: Path, other: Path) -> bool:
    """Give each the other's name. False: this system can't, and nothing has changed.

    Raises:
        OSError: one of them is absent, or the folder can't be written.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANT:
        return False
    raise OSError(number, os.strerror(number), str(other))
