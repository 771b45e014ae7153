"""Days and times as people and files write them."""

from __future__ import annotations

from datetime import date, datetime, timedelta


def moment(text: str) -> datetime:
    """The beginning of a day, or a time; local where it has no zone.

    Raises:
        ValueError: it is none, or so far away that a clock here cannot have it.
    """
    return _local(datetime.fromisoformat(text))


def end(text: str) -> datetime:
    """When a day is over; a time at once.

    Raises:
        ValueError: as `moment`.
    """
    found = datetime.fromisoformat(text)
    if _is_day(text):
        try:
            found += timedelta(days=1)  # before it gets its zone: a day may have 23 or 25 hours
        except OverflowError:
            raise ValueError(f"{text} is too far away") from None
    return _local(found)


def _local(time: datetime) -> datetime:
    try:
        return time if time.tzinfo else time.astimezone()
    except (OverflowError, OSError):
        raise ValueError(f"{time} is too far away") from None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
