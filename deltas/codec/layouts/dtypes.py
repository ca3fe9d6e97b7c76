"""The types of numbers that a tensor delta knows, and where their exponent lies.

Numbers are only ever seen as unsigned little-endian integers of their width: no floating-point arithmetic happens,
so NaN payloads and the sign of zero pass through untouched.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DType:
    """One type. ``(value >> shift) & mask`` is what values are grouped by: at most 256 groups.

    Attributes:
        code: its number in the container; never reused.
        width: bytes of one value.
        shift: where the exponent starts.
        mask: the exponent's bits; 0 for integers, which form one group.
        rotates: whether a whole is worth splitting into an exponent plane and the rest.
    """

    code: int
    name: str
    width: int
    shift: int
    mask: int
    rotates: bool = False

    @property
    def unsigned(self) -> str:
        """The numpy type that values are read as."""
        return f"<u{self.width}"

    @property
    def signed(self) -> str:
        """The numpy type that differences are compressed as."""
        return f"<i{self.width}"


BYTES = DType(0, "bytes", 1, 0, 0)
# F64 has eleven exponent bits; the low eight tell apart all that occur together in practice.
DTYPES = (
    BYTES,
    DType(1, "int8", 1, 0, 0),
    DType(2, "int16", 2, 0, 0),
    DType(3, "int32", 4, 0, 0),
    DType(4, "int64", 8, 0, 0),
    DType(5, "fp8-e4m3", 1, 3, 0x0F),
    DType(6, "fp8-e5m2", 1, 2, 0x1F),
    DType(7, "fp16", 2, 10, 0x1F, rotates=True),
    DType(8, "bf16", 2, 7, 0xFF, rotates=True),
    DType(9, "fp32", 4, 23, 0xFF, rotates=True),
    DType(10, "fp64", 8, 52, 0xFF),
)
_BY_NAME = {d.name: d for d in DTYPES}

SAFETENSORS = {
    "BOOL": _BY_NAME["int8"],
    "I8": _BY_NAME["int8"],
    "U8": _BY_NAME["int8"],
    "I16": _BY_NAME["int16"],
    "U16": _BY_NAME["int16"],
    "I32": _BY_NAME["int32"],
    "U32": _BY_NAME["int32"],
    "I64": _BY_NAME["int64"],
    "U64": _BY_NAME["int64"],
    "F8_E4M3": _BY_NAME["fp8-e4m3"],
    "F8_E5M2": _BY_NAME["fp8-e5m2"],
    "F16": _BY_NAME["fp16"],
    "BF16": _BY_NAME["bf16"],
    "F32": _BY_NAME["fp32"],
    "C64": _BY_NAME["fp32"],
    "F64": _BY_NAME["fp64"],
}

# TensorProto.DataType. Types of less than a byte, strings and what is not known are bytes.
ONNX = {
    1: _BY_NAME["fp32"],
    2: _BY_NAME["int8"],
    3: _BY_NAME["int8"],
    4: _BY_NAME["int16"],
    5: _BY_NAME["int16"],
    6: _BY_NAME["int32"],
    7: _BY_NAME["int64"],
    9: _BY_NAME["int8"],
    10: _BY_NAME["fp16"],
    11: _BY_NAME["fp64"],
    12: _BY_NAME["int32"],
    13: _BY_NAME["int64"],
    14: _BY_NAME["fp32"],
    15: _BY_NAME["fp64"],
    16: _BY_NAME["bf16"],
    17: _BY_NAME["fp8-e4m3"],
    18: _BY_NAME["fp8-e4m3"],
    19: _BY_NAME["fp8-e5m2"],
    20: _BY_NAME["fp8-e5m2"],
}


def by_name(name: str) -> DType:
    """The type called ``name``."""
    return _BY_NAME[name]
