"""A queue between two threads that anybody can close, which wakes whoever waits."""

import threading
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")
# A wait without end cannot be interrupted by Ctrl-C on Windows.
_WAIT_SECONDS = 1.0


class Closed(Exception):
    """The channel was closed; the thread that meets this is to end."""


class Channel(Generic[_T]):
    """First in, first out; `put` waits for room and `get` for an item.

    Args:
        size: most items that wait; None sets no bound.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = size
        self._items: deque[_T] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, item: _T) -> None:
        """Append an item.

        Raises:
            Closed: the channel is closed, or was closed while this waited.
        """
        with self._changed:
            while not self._is_closed and self._size is not None and len(self._items) >= self._size:
                self._changed.wait(_WAIT_SECONDS)
            if self._is_closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> _T:
        """Return the oldest item.

        Raises:
            Closed: the channel is closed, or was closed while this waited.
        """
        with self._changed:
            while not self._is_closed and not self._items:
                self._changed.wait(_WAIT_SECONDS)
            if self._is_closed:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Drop what waits and end all waiting; closing twice does no harm."""
        with self._changed:
            self._is_closed = True
            self._items.clear()
            self._changed.notify_all()
