"""Logarithm and exponential whose last bit is the same on every machine and every Python.

``math.log`` and ``math.exp`` come from the platform's C library and may differ in the last bit, so that a verdict could
not be recomputed elsewhere. These use only what IEEE 754 rounds correctly (``+ - * /`` on doubles, comparison, sums of
Python integers) and ``math.frexp``, ``math.ldexp`` and ``math.floor``, which are exact.

Log e-values are summed as whole multiples of 2**-40 nats. Integer sums are exact, so the order in which counts arrive
does not matter; each term is rounded down, so rounding never adds evidence.
"""

import math
from collections.abc import Sequence

UNITS_PER_NAT = 1 << 40

_SQRT_HALF = 0.7071067811865476
# ln 2 in two parts (fdlibm); the first has trailing zeros, so that its product with an exponent is exact.
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LN2 = _LN2_HIGH + _LN2_LOW
_C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11 = (1.0 / (2 * k + 1) for k in range(1, 12))
_TAYLOR_TERMS = 15
_SMALLEST_EXPONENT = -700.0


def log(x: float) -> float:
    """The natural logarithm of a positive, finite number; at most 3 units in the last place off."""
    mantissa, exponent = math.frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    # atanh(s) = s + s^3/3 + s^5/5 + ...; |s| is at most 0.172
    series = _C4 + z * (_C5 + z * (_C6 + z * (_C7 + z * (_C8 + z * (_C9 + z * (_C10 + z * _C11))))))
    series = z * (_C1 + z * (_C2 + z * (_C3 + z * series)))
    return exponent * _LN2_HIGH + (exponent * _LN2_LOW + 2.0 * (s + s * series))


def exp(x: float) -> float:
    """The exponential of a number that is at most 0; what is below e**-700 counts as 0."""
    if x < _SMALLEST_EXPONENT:
        return 0.0
    power = math.floor(x / _LN2 + 0.5)
    rest = (x - power * _LN2_HIGH) - power * _LN2_LOW
    series = 1.0
    for term in range(_TAYLOR_TERMS, 0, -1):
        series = 1.0 + rest / term * series
    return math.ldexp(series, power)


def units_of(nats: float) -> int:
    """A log e-value as whole units, rounded down."""
    return math.floor(nats * UNITS_PER_NAT)


def log_mean_exp(units: Sequence[int]) -> float:
    """The logarithm of the mean of e-values that are given by their logarithms in units; in nats."""
    top = max(units)
    total = 0.0
    for value in units:
        total += exp((value - top) / UNITS_PER_NAT)
    return top / UNITS_PER_NAT + log(total / len(units))
