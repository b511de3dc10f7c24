"""Moves: ids that survive a refit, events, moves told only when sure, drift, a matrix in which nobody is lost."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from partnerseg.segment_results import follow_partners
from partnerseg.segments.moves import (
    explain_moves,
    match_segments,
    measure_drift,
    migration_matrix,
    settle_segments,
    trace_lineage,
)
from partnerseg.segments.segmenter import PartnerSegmenter


def series(values) -> pd.Series:
    return pd.Series(values, index=[f"P{place}" for place in range(len(values))])


def test_renumbered_segments_get_their_ids_back():
    old = series([0] * 5 + [1] * 4 + [2] * 3 + [-1])
    new = series([2] * 5 + [0] * 4 + [1] * 3 + [0])
    matched = match_segments(old, new)
    assert matched["segment"].to_dict() == {0: 1, 1: 2, 2: 0}
    # New 0 has five members, four of them old 1; the fifth was background: 4 of 5.
    assert matched["similarity"].to_dict() == {0: 0.8, 1: 1.0, 2: 1.0}


def test_a_segment_without_an_old_one_gets_a_number_never_used():
    old = series([0] * 6 + [3] * 6)
    new = series([0] * 6 + [1] * 6)
    fresh = pd.concat([new, pd.Series(2, index=["N1", "N2"])])
    matched = match_segments(old, fresh)
    assert matched["segment"].to_dict() == {0: 0, 1: 3, 2: 4}
    assert np.isnan(matched.loc[2, "similarity"])


def test_little_in_common_is_no_match():
    # Five new segments of four share two members with each old one: 2 of 12, far from the same.
    old = series([0] * 10 + [1] * 10)
    new = series(list(range(5)) * 4)
    matched = match_segments(old, new)
    assert matched["segment"].to_dict() == {0: 2, 1: 3, 2: 4, 3: 5, 4: 6}
    assert matched["similarity"].isna().all()


@pytest.mark.parametrize("empty", ["old", "new"])
def test_nothing_to_match(empty):
    some, none = series([0, 0, 1]), pd.Series([], dtype=int)
    matched = match_segments(none, some) if empty == "old" else match_segments(some, none)
    assert matched["segment"].to_dict() == ({0: 0, 1: 1} if empty == "old" else {})


def test_matrix_counts_everyone_once():
    before = pd.Series({"P1": 0, "P2": 0, "P3": 1, "P4": -1, "P5": 1})
    after = pd.Series({"P1": 0, "P2": 1, "P3": 1, "P4": 0, "P6": 1, "P7": np.nan})
    matrix = migration_matrix(before, after)
    assert matrix.index.tolist() == [-1, 0, 1, "joined"]
    assert matrix.columns.tolist() == [-1, 0, 1, "left"]
    assert matrix.to_numpy().tolist() == [[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 0]]
    cohorts = before.value_counts()
    assert all(matrix.loc[segment].sum() == cohorts[segment] for segment in cohorts.index)
    assert matrix.loc["joined"].sum() == 1
    assert matrix["left"].sum() == 1


def test_a_partner_twice_is_refused():
    twice = pd.Series([0, 1], index=["P1", "P1"])
    with pytest.raises(ValueError, match="'P1' is in `after` more than once"):
        migration_matrix(series([0]), twice)


def test_a_growing_segment_and_its_id():
    # Old 0 is a third of new 1; all of it went there and nobody else's half did: the id goes along.
    old = series([0] * 10 + [-1] * 20 + [1] * 10)
    new = series([1] * 30 + [0] * 10)
    matched = match_segments(old, new)
    assert matched["segment"].to_dict() == {0: 1, 1: 0}
    assert matched["similarity"].round(3).to_dict() == {0: 1.0, 1: 0.333}


def place(segments, rng, prefix="P", scale=1.0):
    """Partners of segments whose orders lie at 0, 8, 16, ... in standard deviations, kinds to go with them."""
    segments = np.asarray(segments)
    index = [f"{prefix}{place:04d}" for place in range(len(segments))]
    features = pd.DataFrame(
        {
            "orders": scale * (8 * segments + rng.normal(size=len(segments))),
            "visits": scale * rng.normal(size=len(segments)),
            "kind": np.where(rng.random(len(segments)) < 0.9, segments % 2, 1 - segments % 2).astype(str),
        },
        index=index,
    )
    return features.mask(rng.random(features.shape) < 0.1), pd.Series(segments, index=index)


def test_other_partners_are_matched_by_profile():
    rng = np.random.default_rng(0)
    old_features, old = place([0] * 60 + [1] * 40 + [2] * 20, rng)
    new_features, new = place([2] * 50 + [1] * 30 + [0] * 30 + [3] * 30, rng, prefix="Q")
    renamed = new.map({0: 3, 1: 0, 2: 1, 3: 2})
    features = {"old_features": old_features, "new_features": new_features}
    matched = match_segments(old, renamed, **features)
    assert matched["segment"].to_dict() == {0: 1, 1: 2, 2: 3, 3: 0}
    assert matched["similarity"].notna().tolist() == [True, True, False, True]
    assert (matched["similarity"].dropna() > 0.8).all()
    # Without features nothing is known of them.
    assert match_segments(old, renamed)["similarity"].isna().all()
    # Rows, columns and units leave no trace.
    turned = {name: (frame.iloc[::-1, ::-1].assign(orders=frame["orders"] * 1000)) for name, frame in features.items()}
    pd.testing.assert_frame_equal(match_segments(old[::-1], renamed[::-1], **turned), matched)
    lineage = trace_lineage(old, renamed, **features)
    assert lineage["event"].tolist() == ["continued"] * 3 + ["appeared"]
    assert lineage["by"].tolist()[:3] == ["profile"] * 3


def test_members_overrule_profiles():
    rng = np.random.default_rng(0)
    features, old = place([0] * 30 + [1] * 30, rng)
    # All partners changed places: whose members they are decides.
    swapped = place([1] * 30 + [0] * 30, rng)[0]
    matched = match_segments(old, 1 - old, old_features=features, new_features=swapped)
    assert matched["segment"].to_dict() == {0: 1, 1: 0}


@pytest.mark.parametrize("heirs", [3, 2])
def test_a_segment_whose_members_have_all_changed_goes_on_by_its_profile(heirs):
    """Young partners (2) are anywhere a year later, others have their place; or what took it is something else (3)."""
    rng = np.random.default_rng(0)
    old_features, old = place([0] * 60 + [1] * 60 + [2] * 30, rng)
    later = [0] * 60 + [1] * 60 + [0] * 14 + [1] * 14 + [heirs] * 2 + [heirs] * 40
    new_features, new = place(later, rng)
    features = {"old_features": old_features, "new_features": new_features}
    # Number 9 of the refit has two of the 30 old ones of 2, and 40 who joined.
    new = new.where(new != heirs, 9)
    lineage = trace_lineage(old, new, **features)
    told = [(row.event, row.old, row.new, row.by) for row in lineage.itertuples()][2:]
    ids = match_segments(old, new, **features)["segment"].to_dict()
    if heirs == 2:
        assert told == [("continued", (2,), (9,), "profile")]
        assert ids == {0: 0, 1: 1, 9: 2}
    else:
        assert [row[:3] for row in told] == [("died", (2,), ()), ("appeared", (), (9,))]
        assert ids == {0: 0, 1: 1, 9: 3}
    assert trace_lineage(old, new)["event"].tolist()[2:] == ["died", "appeared"]


@pytest.mark.parametrize(("kept", "lives"), [(14, False), (49, False), (50, True), (90, True)])
def test_a_segment_that_keeps_a_minority_of_its_members_does_not_continue(kept, lives):
    # The others are background now, and the profile of those who stayed is the same.
    features, old = place([0] * 100 + [1] * 100, np.random.default_rng(0))
    new = series([0] * kept + [-1] * (100 - kept) + [1] * 100).set_axis(old.index)
    both = {"old_features": features, "new_features": features}
    for known in ({}, both):
        lineage = trace_lineage(old, new, **known)
        events = ["continued", "continued"] if lives else ["died", "continued", "appeared"]
        assert lineage["event"].tolist() == events
        assert match_segments(old, new, **known)["segment"].to_dict() == {0: 0 if lives else 2, 1: 1}


def test_parts_of_a_split_are_told_as_long_as_they_keep_half_together():
    old = series([0] * 100)
    together = trace_lineage(old, series([0] * 30 + [1] * 25 + [-1] * 45))
    assert together[["event", "old", "new"]].to_numpy().tolist() == [["split", (0,), (0, 1)]]
    crumbs = trace_lineage(old, series([0] * 25 + [1] * 20 + [-1] * 55))
    assert crumbs["event"].tolist() == ["died", "appeared", "appeared"]


def test_one_date_without_features_is_refused():
    features, old = place([0] * 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="`old_features` is None and the other is not"):
        match_segments(old, old, new_features=features)


BASE = [0] * 40 + [1] * 40 + [2] * 40


@pytest.mark.parametrize(
    ("name", "new", "expected"),
    [
        ("none", BASE, []),
        ("split", [0] * 40 + [1] * 24 + [5] * 16 + [2] * 40, [("split", (1,), (1, 5))]),
        ("merge", [0] * 40 + [1] * 80, [("merged", (1, 2), (1,))]),
        ("birth", [*BASE, *[7] * 20], [("appeared", (), (7,))]),
        ("birth from all", [7] * 8 + [0] * 32 + [7] * 8 + [1] * 32 + [7] * 8 + [2] * 32, [("appeared", (), (7,))]),
        ("death", [0] * 40 + [1] * 40, [("died", (2,), ())]),
        ("death into background", [0] * 40 + [1] * 40 + [-1] * 40, [("died", (2,), ())]),
        ("death into all", [0] * 40 + [1] * 40 + [0] * 14 + [1] * 13 + [-1] * 13, [("died", (2,), ())]),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.06])
def test_events_are_named(name, new, expected, noise):
    rng = np.random.default_rng(3)
    old, new = series(BASE), series(new)
    new = new.where(rng.random(len(new)) >= noise, rng.choice([-1, 0, 1], len(new)))
    lineage = trace_lineage(old.sample(frac=1, random_state=0), new)
    assert [(row.event, row.old, row.new) for row in lineage.itertuples() if row.event != "continued"] == expected
    touched = {segment for _, olds, _ in expected for segment in olds}
    continued = lineage[lineage["event"] == "continued"]
    assert continued["old"].tolist() == continued["new"].tolist() == [(s,) for s in range(3) if s not in touched]


def test_shares_of_an_event_are_those_counted_by_hand():
    # Of old 0 (10) 8 are still there: 4 in new 0, 3 in new 1, 1 in the background; new 1 has 2 who joined.
    old = pd.Series(0, index=list("abcdefghij"))
    new = pd.Series([0, 0, 0, 0, 1, 1, 1, -1, 1, 1], index=list("abcdefghxy"))
    lineage = trace_lineage(old, new)
    assert lineage[["event", "old", "new", "by"]].to_numpy().tolist() == [["split", (0,), (0, 1), "members"]]
    row = lineage.iloc[0]
    assert (row["n_old"], row["n_new"]) == (10, 9)
    assert row[["stayed", "known", "kept", "inherited", "similarity"]].astype(float).round(4).tolist() == [
        0.8, 0.7778, 0.875, 1.0, 0.875,
    ]  # fmt: skip


def test_a_few_known_members_do_not_make_a_birth_a_split():
    # 28 of new 9 joined; of the two known before, both were in 0, as were 38 who are still there.
    new = [9, 9] + [0] * 38 + [1] * 40 + [2] * 40 + [9] * 28
    lineage = trace_lineage(series(BASE), series(new))
    assert lineage.set_index("event")["new"].to_dict()["appeared"] == (9,)
    assert lineage["event"].tolist() == ["continued"] * 3 + ["appeared"]


def chances(rows, columns=(0, 1), index=None) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns), index=index or [f"P{place}" for place in range(len(rows))])


def test_a_partner_stays_until_it_is_sure_of_another_segment():
    series_of_dates = [[0.6, 0.4], [0.96, 0.04], [0.3, 0.7], [0.06, 0.94], [0.05, 0.95], [0.9, 0.1]]
    held, path = None, []
    for date in series_of_dates:
        held = settle_segments(chances([date]), held)
        path.append(int(held.iloc[0]))
    assert path == [-1, 0, 0, 0, 1, 1]
    # A segment that is no more cannot be held.
    assert settle_segments(chances([[0.6, 0.4]], columns=(0, 2)), held).tolist() == [-1]


def test_causes_of_moves():
    before = chances([[0.99, 0.01]] * 5)
    between = chances([[0.02, 0.98], [0.98, 0.02], [0.5, 0.5], [0.5, 0.5], [0.98, 0.02]])
    after = chances([[0.01, 0.99], [0.01, 0.99], [0.01, 0.99], [0.5, 0.5], [0.98, 0.02]])
    told = explain_moves(before, between, after)
    assert told["cause"].to_dict() == {"P0": "partner", "P1": "model", "P2": "both"}
    # Log odds go from -log(99) over 0 to log(99).
    assert told.loc["P2", "partner_share"] == pytest.approx(0.5)
    assert explain_moves(before, between).index.tolist() == ["P0"]
    assert (explain_moves(before, between)["cause"] == "partner").all()


def test_segments_that_only_one_model_knows():
    before, between = chances([[0.99, 0.01]] * 3), chances([[0.99, 0.01], [0.02, 0.98], [0.02, 0.98]])
    after = chances([[0.98, 0.02], [0.98, 0.02], [0.02, 0.98]], columns=(5, 1))
    told = explain_moves(before, between, after)
    # 5 is new: who looks as before was moved by the model, who changed by both; 1 was there and 0 is no more.
    assert told[["segment_after", "cause"]].to_numpy().tolist() == [[5, "model"], [5, "both"], [1, "partner"]]
    born = pd.DataFrame({"event": ["split"], "old": [(0,)], "new": [(0, 5)]})
    assert explain_moves(before, between, after, lineage=born).index.tolist() == ["P2"]


def test_moves_in_a_series_are_told_once_sure():
    dates = [chances([row]) for row in ([0.99, 0.01], [0.5, 0.5], [0.02, 0.98], [0.01, 0.99])]
    held, told = None, []
    for earlier, later in pairwise(dates):
        told.append(len(explain_moves(earlier, later, held=held)))
        held = settle_segments(earlier, held)
    assert told == [0, 1, 0]
    assert not len(explain_moves(dates[1], dates[2]))  # without what was held nobody knows where it came from


def test_nobody_moves_nobody_is_told_to_have_moved():
    """Two normal segments 3 sd apart, half of the variance new at each date; 20 worlds of 1,000 partners."""
    rng = np.random.default_rng(0)
    false, flickers, seen = [], [], []
    for _ in range(20):
        segment, own = rng.random(1000) < 0.4, rng.normal(size=1000) * np.sqrt(0.5)
        moves = rng.random(1000) < 0.1
        tables = []
        for now in (segment, segment, segment ^ moves):
            place = 3 * now + own + rng.normal(size=1000) * np.sqrt(0.5)
            odds = 0.4 / 0.6 * np.exp(3 * place - 4.5)
            tables.append(pd.DataFrame({0: 1 / (1 + odds), 1: odds / (1 + odds)}))
        false.append(len(explain_moves(tables[0], tables[1])) / 1000)
        flickers.append((tables[0].idxmax(axis=1) != tables[1].idxmax(axis=1)).mean())
        seen.append(np.isin(np.flatnonzero(moves), explain_moves(tables[0], tables[2]).index).mean())
    assert max(false) <= 0.02
    assert min(flickers) > 0.04  # the likeliest segment alone would have told these
    # Sure of 0 below 0.654, of 1 above 2.617; both for one mover: 0.426, by numerical integration over what stays.
    assert np.mean(seen) == pytest.approx(0.426, abs=0.045)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (chances([[np.nan, 1.0]]), "`membership` holds a membership that is missing or not in 0..1"),
        (chances([[-0.1, 1.1]]), "missing or not in 0..1"),
        (chances([[1.0, 0.0]] * 2, index=["P1", "P1"]), "partner 'P1' is in `membership` more than once"),
    ],
)
def test_memberships_are_checked(table, message):
    with pytest.raises(ValueError, match=message):
        settle_segments(table)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"certainty == 0.5, must be > 0.5 and <= 1"):
        settle_segments(chances([[1.0, 0.0]]), certainty=0.5)
    with pytest.raises(ValueError, match=r"must be the same: both come from the old model"):
        explain_moves(chances([[1.0, 0.0]]), chances([[1.0, 0.0]], columns=(0, 2)))


def drifting(rng, n=300, *, shift=0.0, spread=1.0, gaps=0.0, same=True):
    """Three segments 6 sd apart in one of four numbers each; segment 1 drifts."""
    segments = pd.Series(rng.integers(0, 3, n), index=[f"P{place:04d}" for place in range(n)])
    own, frames = rng.normal(size=(n, 4)) * np.sqrt(0.5), []
    for drifts in (False, True):
        if drifts and not same:
            own = rng.normal(size=(n, 4)) * np.sqrt(0.5)
        values = own + rng.normal(size=(n, 4)) * np.sqrt(0.5)
        mine = (segments == 1).to_numpy()
        values[mine] *= spread if drifts else 1.0
        values[np.arange(n), segments] += 6
        values[mine, 1] -= shift * drifts
        frame = pd.DataFrame(values, index=segments.index, columns=list("abcd"))
        frame["a"] = np.exp(frame["a"])
        frame["kind"] = np.where(rng.random(n) < 0.8, "x", "y")
        hidden = (rng.random(frame.shape) < gaps) & mine[:, None] if drifts else False
        frames.append(frame.mask((rng.random(frame.shape) < 0.1) | hidden))
    return frames[0], segments, frames[1], segments


@pytest.mark.parametrize("same", [True, False])
def test_no_drift_no_alarm(same):
    """40 worlds each; chance may pass for a moved value in 5%: more than 6 of 40 in 1 of 100."""
    rng = np.random.default_rng(0)
    found = [measure_drift(*drifting(rng, same=same)) for _ in range(40)]
    assert sum(drift.stale for drift in found) == 0
    assert sum(drift.columns["certain"].any() for drift in found) <= 6
    assert found[0].reason.endswith("the model still fits.")
    # Freed of what chance adds, about half of the ways are none.
    assert 0.3 < np.mean([(drift.segments["way"] == 0).mean() for drift in found]) < 0.7


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ({"shift": 3.0}, "of the way to"),
        ({"spread": 2.5}, "times as far apart"),
        ({"gaps": 0.5}, "is unknown now"),
    ],
)
def test_planted_drift_is_found_where_it_is(planted, says):
    rng = np.random.default_rng(1)
    for _ in range(10):
        drift = measure_drift(*drifting(rng, **planted), names={1: "Agents"})
        assert drift.stale
        assert drift.segments["stale"].to_dict() == {0: False, 1: True, 2: False}
        assert says in drift.reason
        assert "Agents" in drift.reason
    if "shift" in planted:
        row = drift.columns.loc[(1, "b")]
        assert row["certain"]
        assert row["change"] == pytest.approx(-3, abs=0.7)
        assert row["shift"] == pytest.approx(-3, abs=0.7)


def test_chance_is_that_of_the_textbook():
    rng = np.random.default_rng(0)
    then = pd.DataFrame({"orders": rng.normal(size=40)})
    now = pd.DataFrame({"orders": rng.normal(size=60)}, index=range(100, 160))
    old, new = pd.Series(0, index=then.index), pd.Series(0, index=now.index)
    row = measure_drift(then, old, now, new).columns.loc[(0, "orders")]
    # Welch's standard error in spreads, and the t quantile of 39 degrees of freedom at 0.975 (2.0227 in tables).
    within = np.sqrt((40 * then["orders"].var(ddof=0) + 60 * now["orders"].var(ddof=0)) / 100)
    error = np.sqrt(then["orders"].var() / 40 + now["orders"].var() / 60)
    assert row["chance"] == pytest.approx(2.0227 * error / within, rel=1e-4)
    assert row["shift"] == pytest.approx((now["orders"].mean() - then["orders"].mean()) / within)
    # The same partners, each with one more: nothing of that is chance.
    row = measure_drift(then, old, then + 1, old).columns.loc[(0, "orders")]
    assert row["change"] == pytest.approx(1)
    assert row["chance"] == pytest.approx(0, abs=1e-9)


def test_money_is_read_on_a_logarithmic_scale():
    # Few partners are worth a thousand times as much as the others, who halve their revenue.
    rng = np.random.default_rng(0)
    segments = pd.Series([0] * 40 + [1] * 260)
    worth = np.where(segments == 1, 100.0, 100_000.0)
    then = pd.DataFrame({"revenue": worth * np.exp(rng.normal(size=300) * 0.3)})
    now = pd.DataFrame({"revenue": worth / (1 + segments) * np.exp(rng.normal(size=300) * 0.3)})
    columns = measure_drift(then, segments, now, segments).columns["shift"]
    assert columns[(1, "revenue")] < -1
    assert abs(columns[(0, "revenue")]) < 0.3


def test_sizes_that_shift():
    rng = np.random.default_rng(0)
    then, old = place([0] * 150 + [1] * 50, rng)
    now, new = place([0] * 50 + [1] * 150, rng, prefix="Q")
    drift = measure_drift(then, old, now, new)
    # 2 * (0.75 - 0.25) * log(3), but for half a partner added to each count.
    assert drift.stability_index == pytest.approx(np.log(3), abs=0.02)
    assert drift.stale
    assert "sizes of segments have shifted (population stability index 1.0" in drift.reason
    assert not drift.segments["stale"].any()
    gone = measure_drift(then, old, now[new == 0], new[new == 0])
    assert "Segment 1 had 50 partners and has none." in gone.reason


def test_drift_leaves_background_units_and_order_aside():
    rng = np.random.default_rng(0)
    then, old, now, new = drifting(rng, shift=1.0)
    drift = measure_drift(then, old, now, new)
    turned = measure_drift((then * 1).assign(b=then["b"] * 1000)[::-1], old, now.assign(b=now["b"] * 1000), new[::-1])
    pd.testing.assert_frame_equal(drift.segments, turned.segments)
    background = pd.Series(-1, index=["B1", "B2", "B3"])
    strange = pd.DataFrame({name: [1e9, -1e9, 1e9] for name in "bcd"}, index=background.index)
    more = measure_drift(pd.concat([then, strange]), pd.concat([old, background]), now, new)
    assert more.segments.index.tolist() == [0, 1, 2]
    assert more.segments["n_old"].tolist() == drift.segments["n_old"].tolist()
    # Neither they nor a giant in a segment hide what moved.
    assert more.columns.loc[(1, "b"), "shift"] == pytest.approx(drift.columns.loc[(1, "b"), "shift"], abs=0.05)
    giants = then.copy()
    giants.loc[old.index[old == 1][0], "b"] = 1e9
    assert measure_drift(giants, old, now, new).columns.loc[(1, "b"), "certain"]


def test_drift_refuses_what_cannot_be_compared():
    then, old = place([0] * 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="share no column"):
        measure_drift(then, old, then.add_prefix("new_"), old)
    with pytest.raises(ValueError, match="nobody is in a segment in `old_segments`"):
        measure_drift(then, old - 1, then, old)
    with pytest.raises(ValueError, match="column 'orders' holds infinity"):
        measure_drift(then, old, then.assign(orders=np.inf), old)
    times = then.assign(orders=pd.Timestamp("2026-01-01"))
    with pytest.raises(ValueError, match="column 'orders' holds times"):
        measure_drift(times, old, times, old)


def test_a_year_that_passes_for_everybody_does_not_make_a_model_stale():
    """Two groups of 100 that differ in orders; a year later all are a year older, and nothing else has changed."""
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 100)
    tables = []
    for year in (0, 365):
        frame = pd.DataFrame(rng.normal(size=(200, 4)) + 6 * groups[:, None], columns=list("abcd"))
        age = 500 * groups + np.linspace(100, 500, 200)
        frame = frame.assign(tenure_days=age + year, first_sale_days=age + year - 30)
        tables.append(frame.set_index(pd.Index([f"P{row:03d}" for row in range(200)], name="partner_id")))
    before, now = tables
    fitted = [PartnerSegmenter(min_share=0.1, random_state=0).fit(table) for table in tables]
    settings = SimpleNamespace(segments=SimpleNamespace(columns=[]))
    models = SimpleNamespace(params=settings, segmenter_before=fitted[0], segmenter=fitted[1])
    membership = fitted[1].predict_proba(now)
    followed = follow_partners(models, before, now, membership)
    assert not followed.year_before["stale"].item()
    # They alone would have: the groups lie 500 days apart.
    labels = pd.Series(groups, index=before.index)
    assert measure_drift(before, labels, now, labels).stale
    # A column of another kind still does.
    other = now.assign(a=now["a"] + 8)
    assert follow_partners(models, before, other, membership).year_before["stale"].item()
