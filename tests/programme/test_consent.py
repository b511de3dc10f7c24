import itertools

import pandas as pd
import pytest

from partnerseg.programme.consent import consent_at


def history(rows, *, arrived=True):
    columns = ["partner_id", "purpose", "granted", "changed_at", "arrived_at"]
    frame = pd.DataFrame(rows, columns=columns).astype({"changed_at": "datetime64[us]", "arrived_at": "datetime64[us]"})
    return frame.astype({"granted": "boolean"}) if arrived else frame.drop(columns="arrived_at")


ROWS = [
    ("a", "marketing", True, "2026-01-05 10:00", None),
    ("a", "marketing", False, "2026-03-01 00:00", "2026-03-05 00:00"),
    ("a", "navigation", True, "2026-06-30 23:59:59", None),
    ("b", "analytics", False, "2026-02-01", None),
]


def test_the_latest_known_change_counts():
    assert consent_at(history(ROWS), "2026-02-28").loc["a", "marketing"]
    assert consent_at(history(ROWS), "2026-03-04").loc["a", "marketing"]  # the withdrawal arrived a day later
    assert not consent_at(history(ROWS), "2026-03-05").loc["a", "marketing"]
    assert not consent_at(history(ROWS, arrived=False), "2026-03-01").loc["a", "marketing"]


def test_the_day_ends_at_midnight_utc():
    assert pd.isna(consent_at(history(ROWS), "2026-06-29").loc["a", "navigation"])
    assert consent_at(history(ROWS), "2026-06-30").loc["a", "navigation"]


def test_never_said_is_missing_and_unknown_partners_are_not_there():
    found = consent_at(history(ROWS), "2026-02-01")
    assert list(found.columns) == ["analytics", "marketing", "navigation"]
    assert found.dtypes.astype(str).unique().tolist() == ["boolean"]
    assert pd.isna(found.loc["b", "marketing"]) and not found.loc["b", "analytics"]
    assert list(consent_at(history(ROWS), "2026-01-31").index) == ["a"]
    assert consent_at(history([]), "2026-01-31").shape == (0, 3)


def test_of_two_changes_at_one_moment_the_withdrawal_counts_in_any_order():
    rows = [("a", "marketing", granted, "2026-01-05", None) for granted in (True, False)]
    for order in itertools.permutations(rows):
        assert not consent_at(history(list(order)), "2026-01-05").loc["a", "marketing"]


def test_without_a_day_all_that_was_ever_said_counts():
    far = [*ROWS, ("b", "analytics", True, "2500-01-01", "2600-01-01"), ("a", "marketing", True, None, None)]
    found = consent_at(history(far))
    assert found.loc["b", "analytics"] and found.loc["a", "navigation"]
    assert not found.loc["a", "marketing"]  # a grant of an unknown day takes no withdrawal back


@pytest.mark.parametrize("day", ["2026/06/30", "", "20260630", "2026-6-30", "2026-02-30", "2026-06-30 12:00"])
def test_a_day_written_otherwise_is_refused(day):
    with pytest.raises(ValueError) as caught:
        consent_at(history(ROWS), day)
    assert str(caught.value) == f"as_of == {day!r}, must be a day written as YYYY-MM-DD; write it as 2026-06-30"
