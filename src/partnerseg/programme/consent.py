"""What each partner has agreed to on a day."""

import pandas as pd

from partnerseg.programme.tables import TABLES


def consent_at(consents: pd.DataFrame, as_of: str) -> pd.DataFrame:
    """Tell from the history of consents which purposes each partner allows at the end of a day.

    A row that nobody could read would leave its partner as willing as before; opening a programme therefore
    stops at the first consent that is bad, and keeps the refusal of two rows at one moment.

    Args:
        consents: The table `consents`: partner_id, purpose, granted, changed_at and maybe arrived_at (UTC).
        as_of: Day `YYYY-MM-DD`; changes that happened or arrived after its end (UTC) are not seen.

    Returns:
        One row a partner with a known change, index partner_id, one `boolean` column a purpose: analytics,
        marketing, navigation. The latest change counts; of a grant and a withdrawal at one moment the
        withdrawal. Missing means never said, which is no permission.

    Example:
        >>> consents = pd.DataFrame({
        ...     "partner_id": ["a", "a"], "purpose": ["marketing", "marketing"], "granted": [True, False],
        ...     "changed_at": pd.to_datetime(["2026-01-05", "2026-03-01"])})
        >>> bool(consent_at(consents, "2026-02-28").loc["a", "marketing"])
        True
        >>> bool(consent_at(consents, "2026-03-01").loc["a", "marketing"])
        False
    """
    purposes = list(TABLES["consents"].column("purpose").choices)
    end = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    known = consents["changed_at"] < end
    if "arrived_at" in consents:
        known &= ~(consents["arrived_at"] >= end)
    seen = consents[known].sort_values(["changed_at", "granted"], ascending=[True, False], kind="stable")
    latest = seen.drop_duplicates(["partner_id", "purpose"], keep="last")
    wide = latest.pivot_table(index="partner_id", columns="purpose", values="granted", aggfunc="last", observed=True)
    return wide.reindex(columns=pd.Index(purposes, name="purpose")).astype("boolean").rename_axis(columns=None)
