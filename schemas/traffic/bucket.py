"""Which of 10,000 buckets a request falls into: one function that every language and proxy can compute.

``xxh64(salt + ":" + key, seed 0) mod 10000``. Candidates take the lowest buckets, so a growing share only adds users,
and the same user meets the same version in every pod and region. A rollout has a salt of its own and so draws its users
anew. ``tests/schemas/traffic/buckets.json`` holds examples for other implementations.
"""

from xxhash import xxh64_intdigest

from modelcast.schemas.evidence.counts import SHARES

BUCKETS = SHARES
"""A share of one bucket is a ten-thousandth."""


def bucket_of(salt: str, key: bytes) -> int:
    """The bucket of a key, 0 to 9,999.

    Args:
        salt: of the rollout.
        key: who asks: the header's bytes, or ``key_bytes`` of a field.
    """
    return xxh64_intdigest(salt.encode() + b":" + key) % BUCKETS
