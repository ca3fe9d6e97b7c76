"""One line of the audit: who did what to which object, when, from where, and what came of it. Pure.

The log holds what was decided; the audit also holds what was refused or failed, and what is no entry of a log.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from modelcast.schemas.errors import DecodeError
from modelcast.schemas.text.printable import bounded

AUDIT_SIZE_MAX = 32 * 1024
TEXT_MAX = 1024
AuditResult = Literal["done", "needless", "refused", "failed"]
"""Done; nothing had to be done; a rule said no; or it could not be done, or not be made sure of."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What one person or program did.

    Attributes:
        at_us: when it was over, by its clock.
        who: as the log names them.
        action: the verb, as ``publish`` or ``pin``.
        subject: what it was done to, as ``fraud/7``.
        source: where it came from: a user, host and process, or the address that asked a dashboard.
        result: what came of it.
        detail: the error, or what else is to be known.
        reason: why, in the words of who did it.
        generation: the log entry that holds it; 0: none.
    """

    at_us: int
    who: str
    action: str
    subject: str
    source: str
    result: AuditResult
    detail: str = ""
    reason: str = ""
    generation: int = 0

    def encode(self) -> bytes:
        """Its bytes; texts are cut to ``TEXT_MAX`` characters."""
        shown = {name: bounded(v, TEXT_MAX) if isinstance(v, str) else v for name, v in asdict(self).items()}
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, body: bytes, *, key: str) -> "AuditEntry":
        """Read it back; fields of later versions are passed over.

        Raises:
            DecodeError: it is none.
        """
        try:
            found = json.loads(body)
            entry = cls(**{field.name: found[field.name] for field in fields(cls) if field.name in found})
            numbers, texts = (entry.at_us, entry.generation), (entry.who, entry.action, entry.subject, entry.source)
            sound = all(type(n) is int for n in numbers) and entry.result in get_args(AuditResult)
        except (ValueError, TypeError, RecursionError):
            sound = False
        if not sound or not all(isinstance(text, str) for text in (*texts, entry.detail, entry.reason)):
            raise DecodeError("no entry of the audit", subject=key, hint="something else wrote it")
        return entry
