"""How much of a file's beginning is there for good, for readers that follow while it is being put together."""

import threading
from collections.abc import Set

from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES

LOOK_SECONDS = 0.5


class VerifiedPrefix:
    """One file's. Thread-safe.

    Args:
        size_bytes: of the whole file.
        missing: the blocks that are not there yet; None: not known before ``begin``.
    """

    def __init__(self, size_bytes: int, missing: Set[int] | None = None) -> None:
        self.size_bytes = size_bytes
        self._blocks = -(-size_bytes // BLOCK_SIZE_BYTES)
        self._missing = set(range(self._blocks)) if missing is None else set(missing)
        self._first = 0  # no block before this one is missing
        self._over = self._left = False
        self._grew = threading.Condition()
        self.begin(frozenset())

    def begin(self, there: Set[int]) -> None:
        """These blocks were there before."""
        with self._grew:
            self._missing -= there
            self._advance()

    def came(self, block: int) -> None:
        """A block is there, for good."""
        with self._grew:
            self._missing.discard(block)
            if block == self._first:
                self._advance()

    def give_up(self) -> None:
        """Nothing more comes, and what came may be worth nothing: all that wait raise."""
        with self._grew:
            self._over = True
            self._grew.notify_all()

    @property
    def blocks(self) -> Set[int]:
        """The numbers of all blocks."""
        return frozenset(range(self._blocks))

    @property
    def is_over(self) -> bool:
        """It was given up."""
        return self._over

    def leave(self) -> None:
        """It is not waited for any more."""
        self._left = True

    @property
    def is_left(self) -> bool:
        """Its writer may stop."""
        return self._left

    def wait_for_bytes(self, size_bytes: int) -> None:
        """Return once so many bytes are there from the start.

        Raises:
            FetchCancelled: they will not come.
        """
        with self._grew:
            while not self._over and self._there() < size_bytes:
                self._grew.wait(LOOK_SECONDS)
            if self._over:
                raise FetchCancelled("what was to come does not")

    def _there(self) -> int:
        return min(self._first * BLOCK_SIZE_BYTES, self.size_bytes)

    def _advance(self) -> None:
        before = self._first
        while self._first < self._blocks and self._first not in self._missing:
            self._first += 1
        if self._first != before:
            self._grew.notify_all()
