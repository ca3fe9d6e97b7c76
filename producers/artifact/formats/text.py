"""Whether a file is text, told while its blocks go by for hashing: it is not read twice."""

import codecs


class TextCheck:
    """Takes a file's blocks in order.

    Text is UTF-8, or UTF-16 or UTF-32 with a byte order mark, all of it, and holds no NUL character.
    """

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None
        self._holds = True

    def take(self, block: memoryview) -> None:
        """The next block."""
        if not self._holds:
            return
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder(_encoding_of(bytes(block[:4])))()
        try:
            self._holds = "\0" not in self._decoder.decode(bytes(block))
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
    return "utf-8"
