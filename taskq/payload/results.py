"""The elements of a map's result list: pickles, which with a secret key are signed for their list and their item.

The number of the item is the end of what is signed, eight bytes behind the pickle, where ``pickle.loads`` does not
look. So a single element can be read without knowing of which item it is, and ``get()`` sees that none has been
put in another's place.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, count
from typing import Any

from taskq.errors import DamagedError, ItemError, SignatureError
from taskq.payload import codec, signing
from taskq.payload.codec import Codec

_NUMBER = 8  # bytes of an item's number

Spans = Iterable[tuple[int, int]]


Place = tuple[str, ...]  # the key of a list; of a map's also its incarnation


def codec_of(*place: str) -> Codec:
    """For the elements of one list: signed for just this list."""
    return codec.at("element", *place)


def sealed(place: Place, values: list[bytes], spans: Spans) -> list[bytes]:
    """The pickled results of the items in these spans, as they are to be stored."""
    if not signing.keyring():
        return values
    close = codec_of(*place).close
    return [close(data + number) for data, number in zip(values, _numbers(spans), strict=True)]


def reader(place: Place) -> Callable[[bytes, int], Any]:
    """What makes values of a list's elements: called with one of them, and its item's number.

    It raises SignatureError if there is a secret key, and the element is not signed for its item; else as
    ``codec.loads``.
    """
    if not signing.keyring():
        return lambda element, _index: codec.loads(element)
    return partial(_of_item, codec_of(*place))


def reader_of_many(place: Place) -> Callable[[Iterable[bytes], int], Iterator[Any]]:
    """As ``reader``, called with elements of items one after the other, and the number of the first of these.

    What is returned reads an element whenever the next is asked of it. It raises any error where ``reader`` would
    raise one, which says what it is.
    """
    if not signing.keyring():
        return lambda elements, _first: map(pickle.loads, elements)
    read_one = reader(place)
    return lambda elements, first: map(read_one, elements, count(first))


def not_read(what: str, error: Exception) -> ItemError:
    """The error for a result that is whole, and can't be unpickled here."""
    reason = f"{type(error).__name__}: {error}"
    return ItemError(f"the result of {what} can't be unpickled here: {reason}").with_cause(error)


def value_of(place: Place, index: int, element: bytes) -> Any:
    """The result of one item.

    Raises:
        SignatureError: If there is a secret key, and the element is not signed for this item.
        ItemError: If it can't be unpickled in this process.
    """
    return read(reader(place), index, element)


def read(reads: Callable[[bytes, int], Any], index: int, element: bytes) -> Any:
    """As ``value_of``, by a ``reader`` that is at hand."""
    try:
        return reads(element, index)
    except (SignatureError, DamagedError):
        raise
    except Exception as error:
        raise not_read(f"item {index}", error) from error


def opened(place: Place, index: int, element: bytes) -> bytes:
    """The pickled result of one item, to be stored elsewhere.

    Raises:
        SignatureError: If there is a secret key, and the element is not signed for this item.
    """
    return _opened(codec_of(*place), element, index)[:-_NUMBER] if signing.keyring() else element


def _of_item(codec_here: Codec, data: bytes, index: int) -> Any:
    return codec.loads(_opened(codec_here, data, index))


def _opened(codec_here: Codec, data: bytes, index: int) -> bytes:
    pickled = codec_here.open(data)
    if not pickled.endswith(index.to_bytes(_NUMBER, "big")):
        raise SignatureError(f"what stands where the result of item {index} should be was signed for another one")
    return pickled


def _numbers(spans: Spans) -> Iterator[bytes]:
    indexes = chain.from_iterable(range(start, start + length) for start, length in spans)
    return (index.to_bytes(_NUMBER, "big") for index in indexes)
