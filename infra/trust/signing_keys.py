"""Keys that sign: made, opened, and used. A key's id is securesystemslib's: SHA-256 of its public part.

``file:PATH`` (PEM, PKCS 8, perhaps encrypted; nobody but its owner may read it) and ``env:NAME`` (the same text in a
variable) are opened here, because securesystemslib's own reader takes files that everybody can read and no encrypted
ones. Every other scheme (``awskms:``, ``gcpkms:``, ``hsm:``, …) is securesystemslib's.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from modelcast.schemas.errors import ModelcastError, NotFound, Refused, UsageError
from modelcast.schemas.log.statements import Sign
from modelcast.schemas.trust.envelope import Signature

FILE, ENV = "file", "env"
PASSPHRASE_VARIABLE = "MODELCAST_TRUST__PASSPHRASE"  # noqa: S105 - its name
KEY_SIZE_MAX = 64 * 1024


def new_key(path: Path, passphrase: str = "") -> SSlibKey:
    """Make an Ed25519 key in a file that its owner alone can read; encrypted if there is a passphrase.

    Its public part lies beside it, in ``PATH.pub``: that is what whoever grants it needs.

    Raises:
        Refused: the file is there already.
    """
    private = Ed25519PrivateKey.generate()
    how = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("it is there already, and a key is never overwritten", subject=str(path)) from None
    with os.fdopen(handle, "wb") as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
        file.flush()
        os.fsync(file.fileno())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_name(f"{path.name}.pub").write_bytes(public)
    return _ssl_key(CryptoSigner(private))


def open_key(uri: str, known: Mapping[str, SSlibKey], passphrase: str = "") -> Signer:
    """The key that a URI names.

    Args:
        uri: ``file:PATH``, ``env:NAME``, or what securesystemslib knows.
        known: by id, public keys of the policy: a key in a service is one of them, and its id stands behind ``#``
            (``awskms:alias/train#<id>``).
        passphrase: of an encrypted PEM.

    Raises:
        NotFound: there is no such file or variable.
        Refused: others can read the file, or the passphrase is wrong.
        UsageError: it is no key, or the URI is of no known scheme.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == FILE:
        return _from_pem(_read_private(Path(rest)), uri, passphrase)
    if scheme == ENV:
        text = os.environ.get(rest)
        if text is None:
            raise NotFound("no such variable", subject=uri)
        return _from_pem(text.encode(), uri, passphrase)
    where, _, keyid = uri.partition("#")
    public = known.get(keyid)
    if public is None:
        hint = "file:PATH, env:NAME, or SCHEME:…#KEYID with a key of the policy"
        raise UsageError("it names no key of the policy", subject=uri, hint=hint)
    try:
        return Signer.from_priv_key_uri(where, public)
    except (ValueError, UnsupportedLibraryError) as error:
        raise UsageError(f"it can't be used: {error}"[:300], subject=uri) from None


def public_of(uri: str, passphrase: str = "") -> SSlibKey:
    """The public key of a URI: of a file with a public key alone (PEM), which others may read, or as ``open_key``."""
    scheme, _, rest = uri.partition(":")
    if scheme == FILE and (text := _public_text(Path(rest))) is not None:
        try:
            return SSlibKey.from_crypto(load_pem_public_key(text))
        except (TypeError, ValueError) as error:
            raise UsageError(f"it can't be used: {error}"[:300], subject=uri) from None
    return public_key(open_key(uri, {}, passphrase))


def _public_text(path: Path) -> bytes | None:
    try:
        text = path.read_bytes()[:KEY_SIZE_MAX]
    except OSError:
        return None
    return text if text.lstrip().startswith(b"-----BEGIN PUBLIC KEY-----") else None


def signing(signers: Iterable[Signer]) -> Sign:
    """What signs with all of these keys, each once."""
    each = list({signer.public_key.keyid: signer for signer in signers}.values())

    def sign(data: bytes) -> tuple[Signature, ...]:
        try:
            made = [signer.sign(data) for signer in each]
        except ModelcastError:
            raise
        except Exception as error:  # a service's own errors, of any kind
            raise Refused(f"a key can't sign: {type(error).__name__}: {error}"[:300]) from error
        return tuple(Signature(one.keyid, bytes.fromhex(one.signature)) for one in made)

    return sign


def public_key(signer: Signer) -> SSlibKey:
    """A signer's public key."""
    return _ssl_key(signer)


def _ssl_key(signer: Signer) -> SSlibKey:
    key: Key = signer.public_key
    if not isinstance(key, SSlibKey):
        raise UsageError(f"a key of kind {key.keytype!r} can't sign here", hint="use Ed25519, ECDSA P-256 or RSA")
    return key


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                mode = stat.S_IMODE(found.st_mode)
                hint = f"chmod 600 {path}, and make a new key if others may have read this one"
                raise Refused(f"others may read it (mode {mode:04o})", subject=str(path), hint=hint)
            return file.read(KEY_SIZE_MAX)
    except FileNotFoundError:
        raise NotFound("no such key file", subject=str(path), hint="modelcast keys new") from None
    except OSError as error:
        raise Refused(f"it can't be read: {error.strerror}", subject=str(path)) from None


def _from_pem(text: bytes, uri: str, passphrase: str) -> CryptoSigner:
    try:
        private = load_pem_private_key(text, passphrase.encode() if passphrase else None)
    except TypeError:
        what = "it is encrypted" if not passphrase else "it is not encrypted, but a passphrase is set"
        raise Refused(what, subject=uri, hint=f"the passphrase is read from {PASSPHRASE_VARIABLE}") from None
    except ValueError:
        hint = (
            f"a PEM (PKCS 8) is asked for; is {PASSPHRASE_VARIABLE} right?"
            if passphrase
            else "a PEM (PKCS 8) is asked for"
        )
        raise Refused("it can't be opened", subject=uri, hint=hint) from None
    try:
        return CryptoSigner(private)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a key of this kind can't sign: {error}"[:200], subject=uri) from None
