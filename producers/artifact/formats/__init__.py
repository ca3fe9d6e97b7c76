"""What a file is by what it holds: of a format that is recognised, or unknown. Nothing is loaded."""

from modelcast.producers.artifact.formats.admission import check_known, unknown_of
from modelcast.producers.artifact.formats.recognised import TEXT, format_of, may_be_text
from modelcast.producers.artifact.formats.text import TextCheck
from modelcast.producers.artifact.formats.wire import NotWellFormed, TooManyFields, WireReader

__all__ = [
    "TEXT",
    "NotWellFormed",
    "TextCheck",
    "TooManyFields",
    "WireReader",
    "check_known",
    "format_of",
    "may_be_text",
    "unknown_of",
]
