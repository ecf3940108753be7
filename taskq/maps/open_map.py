"""``OpenMap``: what ``Queue.open_map`` returns, a map whose items come while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self

from rq.exceptions import InvalidJobOperation

from taskq.errors import EnoughError, MapError, MapFailedError, OptionError, ResultsGoneError
from taskq.maps.feed import Feed
from taskq.maps.info import MapInfo
from taskq.maps.items import check_iterable
from taskq.maps.job import MapJob
from taskq.maps.outage import GoesOnError
from taskq.maps.result_type import R, T
from taskq.redis import schema
from taskq.redis.patience import clear_errors


class OpenMap(MapJob[R], Generic[T, R]):
    """A map that takes items while it runs, until it is sealed.

    Made by ``Queue.open_map``, and fed by the program that made it, from any of its threads. As a context manager
    it seals itself at the end of the block, and cancels itself if that raises; a fork that leaves the block does
    neither. Who fetches its job elsewhere gets a ``MapJob``, and can do all else with it.
    """

    schema = schema.TERMS
    _feed: Feed | None = None

    def fed_by(self, feed: Feed, *, keep: bool) -> None:
        """Take items through this; once the map is announced. ``keep``: its lease, in a thread of its own."""
        self._feed = feed
        feed.begin(keep=keep)

    @property
    def feed(self) -> Feed:
        """What puts its items.

        Raises:
            OptionError: If this program has not opened the map.
        """
        if self._feed is None:
            raise OptionError(
                f"items are put by the program that has opened the map {self.id}, and this one has not"
            )
        return self._feed

    @clear_errors
    def put(self, item: T) -> int:
        """Add an item. It can be run when this returns, and is run at once if a process is free.

        With a ``buffersize`` it waits while more items than that are unfinished. What is large in items travels
        with each: ``Queue.share`` has it travel once.

        Returns:
            The item's index.

        Raises:
            EnoughError: If the map has all results that it wants (``first=``).
            PickleError, TooLargeError: If the item can't be sent; then it was not added.
            MapError: If the map is sealed; or the server has lost items that this program no longer has.
            MapCanceledError, MapFailedError, ReplacedError, ResultsGoneError: If it has ended meanwhile.
            ServerError: If the server can't be reached. The item counts as put: it is said again with the next
                one, or as soon as the server is there, and must not be put a second time.
            NestedWaitError: If it would wait, in an item that holds a process which the map may need.
        """
        return self.feed.put((item,)).start

    @clear_errors
    def put_many(self, items: Iterable[T]) -> range:
        """As ``put``, of many items, in far fewer round trips.

        Args:
            items: Written in batches, in bounded memory. So one may wait here for those that come behind it; where
                they come slowly, or depend on results, put them one by one. What reads them can't put or seal. Of
                a map with ``first=`` nothing more of them is read once it has all results that it wants.

        Returns:
            The indexes of those that were added.

        Raises:
            As ``put`` but for ``EnoughError``, or whatever the iterable raises: what came before that, or before
                an item that can't be sent, counts as put; ``accepted`` tells how many items that is. (Where a
                chunk of the ``chunksize`` that you gave is too large, nothing of that chunk.)
        """
        check_iterable(items, "the argument of put_many")
        return self.feed.put(items, stops=True)

    @property
    def accepted(self) -> int:
        """How many items were put so far, also while the server can not be reached."""
        return self.feed.items

    @clear_errors
    def seal(self) -> None:
        """Say that no more items come: the map ends when those it has have ended. Again, it does nothing.

        It raises what ``put`` raises.
        """
        with suppress(EnoughError):  # it has ended, and has as many items as it got
            self.feed.seal()

    def cancel(self, *args: Any, **options: Any) -> dict[str, list[str]]:
        """As ``MapJob.cancel``; nothing more can be put."""
        self.give_up()
        return super().cancel(*args, **options)

    def give_up(self) -> None:
        """Say nothing more to the server: what becomes of it is seen to otherwise."""
        if self._feed is not None:
            self._feed.give_up()

    def early_end(self, info: MapInfo) -> MapError:
        """Why it has ended before it was complete; or was closed, if its end is not on record yet."""
        try:
            return self._early_end(info)
        except GoesOnError:
            why = f": {info.reason}" if info.reason else ""
            return MapFailedError(f"the map {self.id} was closed with {info.done} of {info.items} items done{why}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._feed is not None and self._feed.is_fork:
            return  # it is not this process that leaves the block
        if kind is None:
            self.seal()
            return
        if isinstance(error, EnoughError) and self._feed is not None and self._feed.enough:
            return  # it has ended well
        with suppress(InvalidJobOperation, MapError):  # it has ended already
            self.cancel()

    def takes_no_more(self, state: str) -> MapError:
        """Why an item can't be added, or the map be sealed.

        Args:
            state: What put.lua and seal.lua say.
        """
        info = self.store.info()
        if info.enough:
            return EnoughError(
                f"the map {self.id} has the {info.done} results that it wants, and takes no more items"
            )
        if state == "sealed" and info.orphaned:
            return MapError(
                f"the map {self.id} gets no more items, and has {info.items}, since its producer was silent for "
                "longer than its lease: this program was stopped, or had no connection"
            )
        if state in ("sealed", "other"):
            return MapError(f"the map {self.id} is sealed: it takes no more items")
        return self._lost() if state == "writing" else self.early_end(info)

    def _check_whole(self, info: MapInfo) -> None:
        """See that it has all items that were put: the server may have come back as it was before some of them.

        Raises:
            ResultsGoneError: If not.
        """
        if self._feed is not None and self._feed.sealed and info.sealed and info.total < self._feed.items:
            raise ResultsGoneError(
                f"the map {self.id} has {info.total} items, and {self._feed.items} were put: the server came back "
                "as it was some moments before, and the last ones are lost. Push them again"
            )
