"""The elements of a map's result list: pickles, which with a secret key are signed for their list and their item.

The number of the item is the end of what is signed, eight bytes behind the pickle, where ``pickle.loads`` does not
look. So a single element can be read without knowing of which item it is, and ``get()`` sees that none has been
put in another's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from taskq import codec, signing
from taskq.codec import Codec
from taskq.errors import DamagedError, ItemError, SignatureError

_NUMBER = 8  # bytes of an item's number

Spans = Iterable[tuple[int, int]]


def codec_of(key: str) -> Codec:
    """For the elements of the list at this key, of a map or free-standing: signed for just this list."""
    return codec.at("element", key)


def sealed(key: str, values: list[bytes], spans: Spans) -> list[bytes]:
    """The pickled results of the items in these spans, as they are to be stored."""
    if not signing.keyring():
        return values
    close = codec_of(key).close
    return [close(data + number) for data, number in zip(values, _numbers(spans), strict=True)]


def in_order(
    key: str, total: int, spans: Spans, values: Iterator[bytes], *, unreadable: bool = False
) -> list[Any]:
    """The results in the order of the items, None where there is none.

    Args:
        key: Of the result list.
        total: How many items there are.
        spans: ``(first item, count)`` for each run of elements.
        values: The elements.
        unreadable: Put an ``ItemError`` in the place of a result that can't be unpickled here, and go on.

    Raises:
        ItemError: If a result can't be unpickled here; its cause says why.
        SignatureError: If there is a secret key, and an element is not signed for its item.
        DamagedError: If spans and elements don't fit each other.
    """
    results: list[Any] = [None] * total
    signed, reader = bool(signing.keyring()), codec_of(key)
    for start, count in spans:
        if not 0 <= start <= start + count <= total:
            raise DamagedError(f"a run of {count} results begins at item {start}, of {total} items")
        for index in range(start, start + count):
            data = next(values, None)
            if data is None:
                raise DamagedError(f"{key} has fewer elements than its spans say")
            try:
                results[index] = _of_item(reader, data, index) if signed else codec.loads(data)
            except DamagedError:
                raise
            except Exception as error:  # whatever the classes of the value raise, or the import of their modules
                results[index] = not_read(f"item {index}", error)
                if not unreadable:
                    raise results[index] from error
    return results


def not_read(what: str, error: Exception) -> ItemError:
    """The error for a result that is whole, and can't be unpickled here."""
    reason = f"{type(error).__name__}: {error}"
    return ItemError(f"the result of {what} can't be unpickled here: {reason}").with_cause(error)


def value_of(key: str, index: int, element: bytes) -> Any:
    """The result of one item.

    Raises:
        SignatureError: If there is a secret key, and the element is not signed for this item.
        ItemError: If it can't be unpickled in this process.
    """
    reader = codec_of(key)
    try:
        return _of_item(reader, element, index) if signing.keyring() else codec.loads(element)
    except (SignatureError, DamagedError):
        raise
    except Exception as error:
        raise not_read(f"item {index}", error) from error


def _of_item(reader: Codec, data: bytes, index: int) -> Any:
    pickled = reader.open(data)
    if not pickled.endswith(index.to_bytes(_NUMBER, "big")):
        raise SignatureError(f"what stands where the result of item {index} should be was signed for another one")
    return codec.loads(pickled)


def _numbers(spans: Spans) -> Iterator[bytes]:
    indexes = chain.from_iterable(range(start, start + count) for start, count in spans)
    return (index.to_bytes(_NUMBER, "big") for index in indexes)
