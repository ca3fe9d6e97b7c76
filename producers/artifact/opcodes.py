"""Bytes walked as pickle opcodes, without unpickling: what loading them would do.

Arguments are passed over, whatever their size, and the number of opcodes has a limit, so memory and time do too. The
stack is followed as ``pickletools.dis`` does: it is what tells opcodes from text that happens to begin like some.
"""

import pickletools
import re
from collections.abc import Iterator

from modelcast.producers.artifact.forward import Forward

OPCODES_MAX = 300_000
"""Opcodes after which a stream without an end counts as a pickle: random bytes break off much earlier."""
OPCODES_ENOUGH = 16
LINE_KEPT_MAX = 1024
PROTOCOL_MAX = 5
_IMPORTED = re.compile(r"[^\W\d][\w.]* [^\W\d][\w.]*")
_CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_STRINGS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "SHORT_BINSTRING", "BINSTRING"}
)
_SIZED = {  # of the length that stands before an argument: its bytes
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}


def holds_pickle(stream: Forward) -> bool:
    """Whether what comes is a pickle of any protocol, or several in a row.

    With a protocol header a few valid opcodes are enough. Without one they must import and call something, or end
    where the bytes end, with one object on the stack: a list of words may begin with ``cat``, which imports ``at``.
    """
    left = OPCODES_MAX
    while True:
        walk = _Walk()
        for opcode, argument in _walked(stream):
            left -= 1
            if not walk.takes(opcode, argument):
                return walk.header and walk.count >= 3
            if walk.is_told:
                return True
            if opcode.name == "STOP":
                break
            if not left:
                return True
        else:  # cut off, or no opcodes
            return walk.header and walk.count >= 3
        if walk.imports or (walk.header and walk.count >= 2):
            return True
        if stream.at_end():
            return walk.count >= 4 and not walk.leaves_any


class _Walk:
    """One pickle so far."""

    def __init__(self) -> None:
        self.count, self.header, self.imports, self.calls = 0, False, False, False
        self._stack: list[bool] = []  # True: a mark
        self._strings = False

    @property
    def leaves_any(self) -> bool:
        """Whether something is left on the stack."""
        return bool(self._stack)

    @property
    def is_told(self) -> bool:
        """Whether it is a pickle, whatever follows."""
        many = self.count >= OPCODES_ENOUGH
        return (self.imports and (self.calls or many)) or (self.header and many)

    def takes(self, opcode: pickletools.OpcodeInfo, argument: bytes) -> bool:
        """Whether this opcode may come now."""
        if opcode.name == "PROTO":
            if argument[0] > PROTOCOL_MAX:
                return False
            self.header |= not self.count
        if not self._moves(opcode):
            return False
        self.count += 1
        self._strings |= opcode.name in _STRINGS
        if opcode.name in {"GLOBAL", "INST"}:
            self.imports |= bool(_IMPORTED.fullmatch(argument.decode("utf-8", "replace")))
        self.imports |= opcode.name == "STACK_GLOBAL" and self._strings
        self.calls |= opcode.name in _CALLS
        return True

    def _moves(self, opcode: pickletools.OpcodeInfo) -> bool:
        before, after, stack = list(opcode.stack_before), opcode.stack_after, self._stack
        if pickletools.markobject in before or (opcode.name == "POP" and stack and stack[-1]):
            if True not in stack:
                return False
            while not stack.pop():
                pass
            before = before[: before.index(pickletools.markobject)] if pickletools.markobject in before else []
        if len(stack) < len(before) or any(stack[len(stack) - len(before) :]):
            return False
        del stack[len(stack) - len(before) :]
        stack += [item is pickletools.markobject for item in after]
        return True


def _walked(stream: Forward) -> Iterator[tuple[pickletools.OpcodeInfo, bytes]]:
    """Opcodes with their arguments, where these are short or lines; ends where the bytes are no opcodes."""
    while code := stream.read(1):
        opcode = _OPCODES.get(code[0])
        if opcode is None:
            return
        argument: bytes | None = b""
        if opcode.arg is not None:
            if opcode.arg.n >= 0:
                argument = stream.read(opcode.arg.n)
                argument = argument if len(argument) == opcode.arg.n else None
            elif opcode.arg.n == pickletools.UP_TO_NEWLINE:
                argument = _lines(stream, 2 if opcode.name in {"GLOBAL", "INST"} else 1)
            else:
                argument = b"" if _passed_over(stream, opcode.arg.n) else None
        if argument is None:
            return
        yield opcode, argument


def _passed_over(stream: Forward, kind: int) -> bool:
    size = stream.read(_SIZED[kind])
    return len(size) == _SIZED[kind] and stream.skip(int.from_bytes(size, "little"))


def _lines(stream: Forward, count: int) -> bytes | None:
    lines = [stream.line(LINE_KEPT_MAX) for _ in range(count)]
    return None if None in lines else b" ".join(line or b"" for line in lines)
