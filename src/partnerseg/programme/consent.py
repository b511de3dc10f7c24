"""What each partner has agreed to on a day."""

import datetime as dt

import pandas as pd

from partnerseg.programme.tables import TABLES

PURPOSES: tuple[str, ...] = TABLES["consents"].column("purpose").choices


def consent_at(consents: pd.DataFrame, as_of: str | None = None) -> pd.DataFrame:
    """Tell from the history of consents which purposes each partner allows at the end of a day.

    A row that nobody could read would leave its partner as willing as before; opening a programme therefore
    stops at the first consent that is bad, and keeps the refusal of two rows at one moment.

    Args:
        consents: The table `consents`: partner_id, purpose, granted, changed_at and maybe arrived_at (UTC).
        as_of: Day `YYYY-MM-DD`; changes that happened or arrived after its end (UTC) are not seen. None: all are.

    Returns:
        One row a partner with a known change, index partner_id, one `boolean` column a purpose: analytics,
        marketing, navigation. The latest change counts; of a grant and a withdrawal at one moment the
        withdrawal. Missing means never said, which is no permission.

    Raises:
        ValueError: The day is not written as YYYY-MM-DD, or there is no such day.

    Example:
        >>> consents = pd.DataFrame({
        ...     "partner_id": ["a", "a"], "purpose": ["marketing", "marketing"], "granted": [True, False],
        ...     "changed_at": pd.to_datetime(["2026-01-05", "2026-03-01"])})
        >>> bool(consent_at(consents, "2026-02-28").loc["a", "marketing"])
        True
        >>> bool(consent_at(consents, "2026-03-01").loc["a", "marketing"])
        False
    """
    known = consents["changed_at"].notna()
    if as_of is not None:
        end = _read_day(as_of) + pd.Timedelta(days=1)
        known = consents["changed_at"] < end
        if "arrived_at" in consents:
            known &= ~(consents["arrived_at"] >= end)
    seen = consents[known].sort_values(["changed_at", "granted"], ascending=[True, False], kind="stable")
    latest = seen.drop_duplicates(["partner_id", "purpose"], keep="last")
    wide = latest.pivot_table(index="partner_id", columns="purpose", values="granted", aggfunc="last", observed=True)
    return wide.reindex(columns=pd.Index(PURPOSES, name="purpose")).astype("boolean").rename_axis(columns=None)


def _read_day(as_of: str) -> pd.Timestamp:
    try:
        day = dt.date.fromisoformat(as_of)
    except ValueError:
        day = None
    if day is None or day.isoformat() != as_of:
        raise ValueError(f"as_of == {as_of!r}, must be a day written as YYYY-MM-DD; write it as 2026-06-30")
    return pd.Timestamp(day)
