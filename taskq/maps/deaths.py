"""What has befallen a range: one number, as it stands with pending ranges and with claims.

``process deaths + 1000 * service deaths``, and a million more while a process is given a range which a service
has died of; and ten millions for each time that its items were tried and have failed (``item_retry``).
A process that dies takes its task along and nobody else, so its deaths are surely that task's. A
service takes all that it runs with it, and its host, or whoever kills it, may be to blame: what it ran is suspect,
no more.
"""

from __future__ import annotations

SERVICE = 1000
GIVEN = 1_000_000
TRIED = 10_000_000


def total(number: int) -> int:
    """Of processes and services."""
    return services(number) + number % SERVICE


def services(number: int) -> int:
    """Of services."""
    return number % GIVEN // SERVICE


def settled(number: int) -> int:
    """The number for a range that no process has been given; see claim.lua, too."""
    return number - number % TRIED + number % GIVEN


def given(number: int) -> int:
    """The number for a range that a process is being given."""
    return settled(number) + GIVEN


def tried(number: int) -> int:
    """How many times its items have been tried, and have failed."""
    return number // TRIED


def only_tried(number: int) -> int:
    """The number for a part of a range that nothing has died of."""
    return number - number % TRIED


def of_part(number: int, *, alone: bool) -> int:
    """The number for a part that is cut off a range, where nobody knows which of its items something died of.

    Args:
        number: As it stood with the whole.
        alone: The part is one item. The deaths may have been those of the others, so it takes one of them along
            and no more: before it is given up it has to be there, alone, at two others.
    """
    if not alone or total(number) <= 1:
        return settled(number)
    return only_tried(number) + (SERVICE if services(number) else 1)


def after_try(number: int) -> int:
    """The number for items that have failed, and are to be tried again; nothing has died of that."""
    return only_tried(number) + TRIED


def after_service(number: int, ran: bool | None, *, spared: bool = False) -> int:
    """The number for a range that was claimed by a service which died.

    Args:
        number: As it stood with the claim.
        ran: Whether it ran; None: nobody knows. Then all that was claimed is suspect the first time, and later on
            what had been given to a process.
        spared: It has its last chance, which this death does not end, since something else ran as well. That a
            service has died of it is noted all the same, in place of a process if need be: so it runs alone.
    """
    guilty = (services(number) == 0 or number % TRIED >= GIVEN) if ran is None else ran
    if guilty and spared:
        return settled(number) + (0 if services(number) else SERVICE - 1)
    return settled(number) + SERVICE * guilty
