"""Ed25519 keys for tests, and what a reader needs to believe them."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from modelcast.schemas.log.statements import Sign
from modelcast.schemas.trust.envelope import Signature


class Keys:
    """A key for each name that is asked for; ``public`` is what a policy holds of them."""

    def __init__(self, *names: str) -> None:
        self._private = {name: Ed25519PrivateKey.generate() for name in names}
        self.public = {name: _public(key) for name, key in self._private.items()}

    def sign(self, *names: str, as_: str = "") -> Sign:
        """Signs with these keys; ``as_`` is the id that all of them claim, if not their own."""
        return lambda data: tuple(Signature(as_ or name, self._private[name].sign(data)) for name in names)


def verify(public: str, sig: bytes, data: bytes) -> bool:
    """Whether a signature of an Ed25519 key, in hex, is good."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(sig, data)
    except InvalidSignature:
        return False
    return True


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
