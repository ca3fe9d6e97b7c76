"""Whether a file is text, told while its blocks go by for hashing: it is not read twice."""

import codecs

UTF_8 = "utf-8"


class TextCheck:
    """Takes a file's blocks in order.

    Text is UTF-8, or UTF-16 or UTF-32 with a byte order mark, all of it, and holds no NUL character.
    """

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None
        self._encoding = UTF_8
        self._holds = True

    def take(self, block: memoryview) -> None:
        """The next block."""
        if not self._holds:
            return
        if self._decoder is None:
            self._encoding = _encoding_of(bytes(block[:4]))
            self._decoder = codecs.getincrementaldecoder(self._encoding)()
        data = bytes(block)
        if self._encoding == UTF_8 and data.isascii() and not self._decoder.getstate()[0]:  # ten times as fast
            self._holds = b"\0" not in data
            return
        try:
            self._holds = "\0" not in self._decoder.decode(data)
        except UnicodeDecodeError:
            self._holds = False

    def is_text(self) -> bool:
        """Whether all that was taken is."""
        if not self._holds or self._decoder is None:
            return False
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True


def _encoding_of(head: bytes) -> str:
    for marks, encoding in (
        ((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32"),  # before UTF-16, whose mark begins alike
        ((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16"),
    ):
        if head.startswith(marks):
            return encoding
    return UTF_8
