"""What can be wrong with a delta or its base. None of it is mended by trying again."""

from modelcast.schemas.errors import VerificationFailed


class BadDelta(VerificationFailed):
    """The bytes are no delta, are damaged, or claim what they may not."""


class WrongBase(VerificationFailed):
    """The delta was made against another file than the one that it was given."""


class WrongResult(VerificationFailed):
    """What was rebuilt is not what the caller or the delta says."""
