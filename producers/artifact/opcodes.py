"""Bytes walked as pickle opcodes, without unpickling: what loading them would do.

Arguments are passed over, whatever their size, and the number of opcodes has a limit, so memory and time do too. The
stack is followed as ``pickletools.dis`` does: it is what tells opcodes from text that happens to begin like some.
"""

import pickletools
import re
from collections.abc import Iterator
from enum import Enum, auto

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


class _Kind(Enum):
    """What lies on the stack, as far as it tells calls from text."""

    MARK = auto()
    IMPORTED = auto()
    TUPLE = auto()
    OTHER = auto()


_PUSHES = {
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _Kind.IMPORTED),
    **dict.fromkeys(("TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), _Kind.TUPLE),
}
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


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
            if walk.is_certain:
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


def calls_imported(stream: Forward, opcodes_max: int) -> tuple[bool, int]:
    """Whether what comes imports something and calls it, as opcodes in the middle of other bytes; and opcodes walked.

    Stricter than ``holds_pickle``: of many places that are tried, some hold text that happens to begin like opcodes.
    """
    walk = _Walk()
    for opcode, argument in _walked(stream):
        if not walk.takes(opcode, argument):
            break
        if walk.calls_imported or walk.count >= opcodes_max:
            return True, walk.count
        if opcode.name == "STOP":
            return walk.imports and (walk.header or walk.instantiates), walk.count
    return False, walk.count


class _Walk:
    """One pickle so far."""

    def __init__(self) -> None:
        self.count, self.header, self.imports, self.calls = 0, False, False, False
        self.instantiates = False
        self._stack: list[_Kind] = []
        self._memo: dict[int, _Kind] = {}
        self._called = False
        self._strings = False

    @property
    def leaves_any(self) -> bool:
        """Whether something is left on the stack."""
        return bool(self._stack)

    @property
    def is_certain(self) -> bool:
        """Whether it is a pickle, whatever follows."""
        many = self.count >= OPCODES_ENOUGH
        return (self.imports and (self.calls or many)) or (self.header and many)

    @property
    def calls_imported(self) -> bool:
        """Whether something that it imports is called with arguments."""
        return self.imports and self._called

    def takes(self, opcode: pickletools.OpcodeInfo, argument: bytes) -> bool:
        """Whether this opcode may come now."""
        if opcode.name == "PROTO":
            if argument[0] > PROTOCOL_MAX:
                return False
            self.header |= not self.count
        called = self._called or self._calls_with_arguments(opcode.name)
        if not self._moves(opcode):
            return False
        self._called = called
        self._remember(opcode.name, argument)
        self.count += 1
        self._strings |= opcode.name in _STRINGS
        if opcode.name in {"GLOBAL", "INST"}:
            self.imports |= bool(_IMPORTED.fullmatch(argument.decode("utf-8", "replace")))
        self.imports |= opcode.name == "STACK_GLOBAL" and self._strings
        self.calls |= opcode.name in _CALLS
        self.instantiates |= opcode.name == "INST"
        return True

    def _moves(self, opcode: pickletools.OpcodeInfo) -> bool:
        before, stack = list(opcode.stack_before), self._stack
        if pickletools.markobject in before or (opcode.name == "POP" and stack and stack[-1] is _Kind.MARK):
            if _Kind.MARK not in stack:
                return False
            while stack.pop() is not _Kind.MARK:
                pass
            before = before[: before.index(pickletools.markobject)] if pickletools.markobject in before else []
        at = len(stack) - len(before)
        if at < 0 or _Kind.MARK in stack[at:]:
            return False
        kept = stack[at:]
        del stack[at:]
        if opcode.name in {"MEMOIZE", "DUP"}:
            stack += kept * len(opcode.stack_after)
            return True
        for item in opcode.stack_after:
            stack.append(_Kind.MARK if item is pickletools.markobject else _PUSHES.get(opcode.name, _Kind.OTHER))
        return True

    def _remember(self, name: str, argument: bytes) -> None:
        """Follow what is put aside, so that what is fetched again is known."""
        if name in _PUTS and self._stack:
            self._memo[self._slot(name, argument)] = self._stack[-1]
        elif name in _GETS:
            self._stack[-1] = self._memo.get(self._slot(name, argument), _Kind.OTHER)

    def _slot(self, name: str, argument: bytes) -> int:
        if name == "MEMOIZE":
            return len(self._memo)
        if name in {"PUT", "GET"}:
            return int(argument) if argument.isdigit() else -1
        return int.from_bytes(argument, "little")

    def _calls_with_arguments(self, name: str) -> bool:
        stack = self._stack
        match name:
            case "REDUCE" | "NEWOBJ":
                return stack[-2:] == [_Kind.IMPORTED, _Kind.TUPLE]
            case "NEWOBJ_EX":
                return stack[-3:-1] == [_Kind.IMPORTED, _Kind.TUPLE]
            case "OBJ":
                marks = [at for at, kind in enumerate(stack) if kind is _Kind.MARK]
                return bool(marks) and len(stack) > marks[-1] + 1 and stack[marks[-1] + 1] is _Kind.IMPORTED
            case "INST":
                return bool(stack) and stack[-1] is not _Kind.MARK and _Kind.MARK in stack
        return False


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
