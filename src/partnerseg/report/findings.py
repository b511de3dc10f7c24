"""State results: every function takes a result and returns one sentence, with its number and how sure we are.

The words stand in `language/<code>.yaml`. When a result says nothing, the sentence says that we do not know.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from partnerseg.report.language import (
    format_count,
    format_date,
    format_money,
    format_number,
    format_points,
    format_share,
    format_value,
    join_some,
    join_words,
    say,
    say_count,
    say_message,
    say_name,
)

_LATE_DAYS = 31  # a table whose last row is older is worth a word
_MOST_NAMES = 4  # named in one sentence
_MOST_TRAITS = 3  # of a segment in one sentence
SURE = 0.95  # membership from which we call a partner's segment sure
FEW = 10  # partners without whom a group is not told of


def is_known(finding: str) -> bool:
    """Tell whether a finding says something; one that does not begins with "We do not".

    Example:
        >>> is_known("We used all rows."), is_known("We do not know the ranks: nobody is rated.")
        (True, False)
    """
    return not finding.startswith(say("page.not_known"))


def state_ledger(ledger: pd.DataFrame) -> str:
    """State how many of the rows read were used.

    Args:
        ledger: One row a source file and table: file, rows_in, used, quarantined.

    Example:
        >>> rows = {"table": ["sales"], "file": ["sales.csv"], "rows_in": [200], "used": [190], "quarantined": [4]}
        >>> state_ledger(pd.DataFrame(rows))
        'We used 95% of 200 rows from 1 file and set aside 4 rows that could not be read safely.'
    """
    rows = ledger["rows_in"].sum() if len(ledger) else 0
    if not rows:
        return say_finding("ledger_unknown")
    used, aside = ledger["used"].sum(), int(ledger["quarantined"].sum())
    facts = {"rows": say_count("row", rows), "files": say_count("file", ledger["file"].nunique())}
    if used == rows:
        return say_finding("ledger_all", **facts)
    if not aside:
        return say_finding("ledger_no_quarantine", share=format_share(used / rows), **facts)
    return say_finding("ledger", share=format_share(used / rows), aside=say_count("row", aside), **facts)


def state_aside(aside: pd.DataFrame) -> str:
    """State how many rows were set aside and the most frequent reason.

    Args:
        aside: One row a table, column and reason: table, reason, rows.
    """
    rows = int(aside["rows"].sum()) if len(aside) else 0
    if not rows:
        return say_finding("aside_none")
    first = aside.sort_values("rows", ascending=False, kind="stable").iloc[0]
    reason = say_message(str(first["reason"]))
    facts = {"rows": say_count("row", rows), "table": say_name(first["table"]), "reason": reason}
    return say_finding("aside" if len(aside) > 1 else "aside_one", n=format_count(first["rows"]), **facts)


def state_freshness(freshness: pd.DataFrame, *, as_of: str) -> str:
    """State how late the latest news is, and which tables tell nothing.

    Args:
        freshness: One row a table: table, rows, first, last.
        as_of: Date of the report, `YYYY-MM-DD`.
    """
    dated = freshness.dropna(subset=["last"])
    if dated.empty:
        return say_finding("freshness_unknown")
    late = (pd.Timestamp(as_of) - dated["last"].dt.normalize()).dt.days.clip(lower=0)
    oldest = dated.loc[late.idxmax()]
    empty = [say_name(table) for table in freshness.loc[freshness["rows"] == 0, "table"]]
    facts = {"tables": say_count("table", len(dated)), "days": say_count("day", late.max())}
    one = "_one" if len(dated) == 1 else ""
    if late.max() > _LATE_DAYS:
        sentence = say_finding(
            "freshness_late", table=say_name(oldest["table"]), date=format_date(oldest["last"]), **facts
        )
    else:
        sentence = say_finding(f"freshness_days{one}" if late.max() else f"freshness{one}", **facts)
    return f"{sentence} {say_finding('freshness_empty', tables=_name_some(empty))}" if empty else sentence


def state_coverage(coverage: pd.DataFrame) -> str:
    """State what we know of most partners and what of fewest.

    Args:
        coverage: One row a family of features: family, coverage (0 to 1).
    """
    known = coverage.dropna(subset=["coverage"]).sort_values("coverage", ascending=False, kind="stable")
    known, unknown = known[known["coverage"] > 0], known[known["coverage"] == 0]
    nothing = _name_some([say_name(family) for family in unknown["family"]])
    if known.empty:
        return say_finding("coverage_unknown")
    best, least = known.iloc[0], known.iloc[-1]
    facts = {"best": say_name(best["family"]), "best_share": format_share(best["coverage"])}
    if len(known) == 1 or best["coverage"] == least["coverage"]:
        sentence = say_finding("coverage_even", share=facts["best_share"])
    else:
        sentence = say_finding(
            "coverage", least=say_name(least["family"]), least_share=format_share(least["coverage"]), **facts
        )
    return f"{sentence} {say_finding('coverage_nothing', families=nothing)}" if len(unknown) else sentence


def state_segments(sizes: pd.DataFrame, *, evidence: Any) -> str:
    """State how many natural segments there are, or why we see none.

    Args:
        sizes: One row a segment: name, n, share (of all partners); what is left of the shares is background.
        evidence: The segmenter's `evidence_`: found, reason.
    """
    if not evidence.found:
        return say_finding("segments_none", reason=str(evidence.reason))
    known = sizes[sizes["n"] > 0].sort_values("n", ascending=False, kind="stable")
    if known.empty:
        return say_finding("segments_unknown")
    sentence = say_finding("segments", segments=say_count("segment", len(known)))
    background = 1 - float(known["share"].sum())
    return (
        sentence
        if background < 0.0005
        else f"{sentence} {say_finding('segments_background', share=format_share(background))}"
    )


def state_structure(evidence: Any, *, segments: int) -> str:
    """State whether the data hold natural segments at all, how many, and how clearly they part.

    Args:
        evidence: The segmenter's `evidence_`: found, reason, statistic, null_95.
        segments: How many were found.
    """
    if not evidence.found:
        return say_finding("segments_none", reason=str(evidence.reason))
    told = say_count("segment", segments)
    if not evidence.null_95 > 0:
        return say_finding("structure_clear", segments=told)
    return say_finding("structure", segments=told, times=format_number(evidence.statistic / evidence.null_95, digits=2))


def state_map(sizes: pd.DataFrame, *, evidence: Any) -> str:
    """State into how many segments the map falls; see `state_segments`."""
    return state_segments(sizes, evidence=evidence) if evidence.found else say_finding("map_one")


def state_sizes(sizes: pd.DataFrame, programme: pd.DataFrame, *, region: str) -> str:
    """State which segment is largest, or in a region which one stands out most against the whole programme.

    Args:
        sizes: One row a segment: segment, name, n, share (of the partners of the region).
        programme: The same of the whole programme.
        region: Code of the region; `all` for the whole programme.
    """
    known = sizes[sizes["n"] > 0].sort_values("n", ascending=False, kind="stable")
    if known.empty:
        return say_finding("segments_unknown")
    largest, smallest = known.iloc[0], known.iloc[-1]
    if len(known) == 1:
        return say_finding("sizes_one")
    if region == "all":
        revenue, most = _state_revenue(known, told=largest["segment"]), {"most": _quote(largest["name"])}
        most |= {"most_n": say_count("partner", largest["n"])}
        if revenue:
            return f"{say_finding('sizes_largest', **most)} {revenue}"
        return say_finding("sizes", least=_quote(smallest["name"]), least_n=say_count("partner", smallest["n"]), **most)
    own = sizes.merge(programme[["segment", "share"]], on="segment", suffixes=("", "_programme"))
    odd = own.iloc[int((own["share"] - own["share_programme"]).abs().to_numpy().argmax())]
    sentence = say_finding(
        "sizes_region",
        name=_quote(odd["name"]),
        share=format_share(odd["share"]),
        programme=format_share(odd["share_programme"]),
    )
    return f"{sentence} {_state_revenue(known, told=odd['segment'])}".strip()


def state_differences(profile: pd.DataFrame) -> str:
    """State what sets the two largest segments apart from all other partners.

    Args:
        profile: One row a segment: segment (-1 is the background), name, n, differs (traits, `; ` between them).
    """
    known = profile[(profile["segment"] >= 0) & (profile["differs"].fillna("") != "")]
    known = known.sort_values("n", ascending=False, kind="stable").head(2)
    if len(known) < 2:
        return say_finding("differences_none")
    first, second = known["name"].map(_quote)
    traits = [join_words(differs.split("; ")[:_MOST_TRAITS]) for differs in known["differs"]]
    return say_finding("differences", first=first, first_traits=traits[0], second=second, second_traits=traits[1])


def state_typical(profile: pd.DataFrame, *, column: str) -> str:
    """State between which segments the typical value of a column differs most.

    Args:
        profile: One row a segment: segment (-1 is the background), name, and the column.
        column: A column of numbers; the empty text where there is none.
    """
    known = profile[profile["segment"] >= 0]
    known = known.dropna(subset=[column]).sort_values(column, kind="stable") if column else known.head(0)
    if len(known) < 2 or known[column].iloc[0] == known[column].iloc[-1]:
        return say_finding("typical_none")
    least, most = known.iloc[0], known.iloc[-1]
    return say_finding(
        "typical",
        column=say_name(column),
        least=_quote(least["name"]),
        least_value=format_number(least[column]),
        most=_quote(most["name"]),
        most_value=format_number(most[column]),
    )


def state_exemplars(exemplars: pd.DataFrame) -> str:
    """State who is the most typical member of the first segment, and of how many segments there is one.

    Args:
        exemplars: One row a typical member, the most typical of each segment first: segment, segment_name, name.
    """
    if exemplars.empty:
        return say_finding("exemplars_none")
    first = exemplars.sort_values("segment", kind="stable").iloc[0]
    segments = say_count("segment", exemplars["segment"].nunique())
    return say_finding("exemplars", name=str(first["name"]), segment=_quote(first["segment_name"]), segments=segments)


def state_membership(partners: pd.DataFrame) -> str:
    """State how sure we are where partners belong, and how many are near no segment.

    Args:
        partners: One row a partner: segment (-1 is the background), probability of the likeliest segment (0 to 1).
    """
    if (partners["probability"] == 1).all():
        return say_finding("membership_one")
    sure = (partners["probability"] >= SURE).mean()
    sentence = say_finding("membership", share=format_share(sure), sure=format_share(SURE))
    background = int((partners["segment"] < 0).sum())
    if not background:
        return sentence
    share = format_share(background / len(partners))
    return f"{sentence} {say_finding('membership_background', partners=say_count('partner', background), share=share)}"


def state_questions(questions: pd.DataFrame) -> str:
    """State how many partners could be placed more surely, and what is missing most often.

    Args:
        questions: Index partner_id, one row a question: field.
    """
    if questions.empty:
        return say_finding("questions_none")
    fields = questions["field"].value_counts()
    return say_finding(
        "questions",
        partners=say_count("partner", questions.index.nunique()),
        most=say_name(fields.index[0]),
        n=format_count(fields.iloc[0]),
    )


def state_profile(profile: pd.DataFrame) -> str:
    """State which segment can be relied on most and which least.

    Args:
        profile: One row a segment: name, n, stability (0 to 1; missing for the background), chance_stability.
    """
    known = profile.dropna(subset=["stability"]).sort_values("stability", ascending=False, kind="stable")
    if len(known) < 2:
        return say_finding("profile_one")
    most, least = known.iloc[0], known.iloc[-1]
    return say_finding(
        "profile",
        most=_quote(most["name"]),
        most_stability=format_number(most["stability"]),
        least=_quote(least["name"]),
        least_stability=format_number(least["stability"]),
        chance=format_number(least["chance_stability"]),
    )


def state_moves(moves: pd.DataFrame) -> str:
    """State how many partners kept their segment over the year, joined and left.

    Args:
        moves: One row a segment a year ago, then `joined`; a column a segment now, in the same order, then `left`; the
            first column names the row. Values are partners.
    """
    if moves.empty:
        return say_finding("moves_none")
    table = moves.set_index(moves.columns[0])
    inner = table.drop(index="joined", errors="ignore").drop(columns="left", errors="ignore")
    if len(inner) < 2:
        return say_finding("moves_one")
    both = int(inner.to_numpy().sum())
    if not both:
        return say_finding("moves_unknown")
    stayed = int(inner.to_numpy().trace())
    joined = int(table.loc[["joined"]].to_numpy().sum()) if "joined" in table.index else 0
    left = int(table["left"].sum()) if "left" in table else 0
    return say_finding(
        "moves",
        share=format_share(stayed / both),
        partners=say_count("partner", both),
        joined=format_count(joined),
        left=format_count(left),
    )


def state_lineage(lineage: pd.DataFrame, year_before: pd.DataFrame) -> str:
    """State what became of the segments of a year ago.

    Args:
        lineage: One row an event: event (continued, split, merged, appeared, died), old, new (names in words).
        year_before: One row: why_not (why nothing is compared; empty where it is).
    """
    if why_not := str(year_before["why_not"].iloc[0]):
        return say_finding("lineage_unknown", reason=why_not)
    continued = int((lineage["event"] == "continued").sum())
    changed = lineage.loc[lineage["event"] != "continued", ["event", "old", "new"]]
    if changed.empty:
        return say_finding("lineage_same", n=format_count(continued))
    told = [say_finding("lineage_one" if continued == 1 else "lineage", segments=say_count("segment", continued))]
    for event, old, new in changed.head(_MOST_NAMES).itertuples(index=False):
        told.append(say_finding(f"lineage_{event}", old=old, new=new))
    if more := max(len(changed) - _MOST_NAMES, 0):
        told.append(say_finding("lineage_more_one" if more == 1 else "lineage_more", n=format_count(more)))
    return " ".join(told)


def state_movers(partners: pd.DataFrame) -> str:
    """State how many partners moved for sure, and whether they or the model changed.

    Args:
        partners: One row a partner: segment_before (missing: not known a year ago), move_cause (partner, model, both;
            missing: did not move).
    """
    known = int(partners["segment_before"].notna().sum())
    if not known:
        return say_finding("movers_unknown")
    causes = partners["move_cause"].value_counts()
    if causes.empty:
        return say_finding("movers_none", partners=say_count("partner", known))
    told = [say(f"findings.movers_{cause}", n=format_count(n)) for cause, n in causes.items()]
    return say_finding(
        "movers",
        n=format_count(causes.sum()),
        partners=say_count("partner", known),
        share=format_share(causes.sum() / known),
        causes=join_words(told),
    )


def state_drift(drift: pd.DataFrame, year_before: pd.DataFrame) -> str:
    """State whether the model of a year ago still fits, and if not, why.

    Args:
        drift: One row a segment of a year ago: name, way (part of the way to the nearest one), nearest (its name).
        year_before: One row: why_not (why nothing is compared), stale, reason.
    """
    row = year_before.iloc[0]
    if row["why_not"]:
        return say_finding("drift_unknown")
    if row["stale"]:
        return say_finding("drift_stale", reason=say_message(str(row["reason"]).removesuffix(" Fit the model anew.")))
    known = drift.dropna(subset=["way", "nearest"])
    if known.empty:
        return say_finding("drift_fits")
    most = known.sort_values("way", ascending=False, kind="stable").iloc[0]
    facts = {"name": _quote(most["name"]), "nearest": _quote(most["nearest"])}
    return say_finding("drift_fits_most", way=format_share(most["way"]), **facts)


def state_criteria_segments(segments: pd.DataFrame, *, by: Iterable[str], found: bool = True) -> str:
    """State which criteria segment brings most revenue, or is the largest where revenue is not known.

    Args:
        segments: One row a criteria segment: segment, n, share, revenue_share (missing: not known).
        by: The criteria that make them.
        found: Whether there are natural segments; if not, the sentence says that rules take their place.
    """
    if segments.empty:
        return say_finding("criteria_segments_none")
    known = segments["revenue_share"].notna().any()
    most = segments.sort_values("revenue_share" if known else "n", ascending=False, kind="stable").iloc[0]
    facts = {"criteria": join_words(map(say_name, by)), "name": _quote(most["segment"])}
    if known:
        shares = {"revenue": format_share(most["revenue_share"]), "share": format_share(most["share"])}
        sentence = say_finding("criteria_segments", **facts, **shares)
    else:
        sentence = say_finding("criteria_segments_n", n=say_count("partner", most["n"]), **facts)
    return sentence if found else f"{say_finding('criteria_instead')} {sentence}"


def state_potential(potential: pd.DataFrame, *, currency: str) -> str:
    """State which type of partner has most headroom, and what is expected of it.

    Args:
        potential: One row a partner type and one for `all`, medians: potential_value, potential_low, potential_high,
            headroom_value, forecast_value; n_headroom (partners of known headroom).
        currency: Currency of all of them.
    """
    known = potential[potential["n_headroom"] >= FEW].dropna(subset=["headroom_value"])
    types = known[~known["partner_type"].isin(["all", "unknown"])]
    if known.empty:
        return say_finding("potential_unknown")
    several = len(types) > 1
    most = (types if several else known).sort_values("headroom_value", ascending=False, kind="stable").iloc[0]
    lower, upper = (format_money(most[f"potential_{end}"], currency) for end in ("low", "high"))
    sentence = say_finding(
        "potential" if several else "potential_all",
        type=say_name(most["partner_type"]),
        headroom=format_money(most["headroom_value"], currency),
        potential=format_money(most["potential_value"], currency),
        interval=say("interval", lower=lower, upper=upper),
    )
    if pd.isna(most["forecast_value"]):
        return sentence
    return f"{sentence} {say_finding('potential_expected', forecast=format_money(most['forecast_value'], currency))}"


def state_criteria(criteria: pd.DataFrame, *, criterion: str) -> str:
    """State the most common category of a criterion and of how many partners we do not know it.

    Args:
        criteria: One row a partner, a column a criterion; unknown is a category.
        criterion: The column to state.
    """
    values = criteria[criterion].astype("object") if criterion in criteria else pd.Series(dtype="object")
    known = values[values.notna() & (values != "unknown")]
    name = say_name(criterion)
    if known.empty:
        return say_finding("criteria_unknown", criterion=name)
    counts = known.value_counts()
    sentence = say_finding(
        "criteria" if len(counts) > 1 else "criteria_one",
        criterion=name,
        category=say_name(counts.index[0]),
        n=format_count(counts.iloc[0]),
        partners=say_count("partner", len(known)),
        share=format_share(counts.iloc[0] / len(known)),
    )
    left = len(values) - len(known)
    return f"{sentence} {say_finding('criteria_left', partners=say_count('partner', left))}" if left else sentence


def state_tiers(tiers: pd.Series) -> str:
    """State how many partners stand in the best tier and how many have no rating.

    Args:
        tiers: The tier of each partner, an ordered categorical with the best tier last; missing means no rating.
    """
    rated = tiers.dropna()
    if rated.empty:
        return say_finding("tiers_unknown")
    best = rated.cat.categories[-1]
    n = int((rated == best).sum())
    sentence = say_finding(
        "tiers",
        tier=say_name(best),
        n=format_count(n),
        partners=say_count("partner", len(rated)),
        share=format_share(n / len(rated)),
    )
    left = len(tiers) - len(rated)
    return f"{sentence} {say_finding('tiers_unrated', partners=say_count('partner', left))}" if left else sentence


def state_factor_contributions(contributions: pd.DataFrame) -> str:
    """State which factor adds most and which least to the average score.

    Args:
        contributions: One row a partner, a column a factor, in points of the score; a row sums to the score.
    """
    rated = contributions.dropna(how="all")
    means = rated.fillna(0).mean().where(rated.notna().any()).dropna().sort_values(ascending=False, kind="stable")
    if means.empty:
        return say_finding("contributions_unknown")
    return say_finding(
        "contributions",
        score=format_points(means.sum()),
        most=say_name(means.index[0]),
        most_points=format_points(means.iloc[0]),
        least=say_name(means.index[-1]),
        least_points=format_points(means.iloc[-1]),
    )


def state_factors(factors: pd.DataFrame) -> str:
    """State which factor weighs most and how many are hardly known.

    Args:
        factors: One row a factor: factor, weight (they sum to 1), coverage (share of partners known, 0 to 1), effective
            (the weight it has in effect), flagged (that differs twofold from its weight).
    """
    if factors.empty:
        return say_finding("contributions_unknown")
    first = factors.sort_values("weight", ascending=False, kind="stable").iloc[0]
    scarce = int((factors["coverage"] < 0.5).sum())
    sentence = say_finding(
        "factors" if scarce else "factors_known",
        factor=say_name(first["factor"]),
        weight=format_share(first["weight"]),
        scarce=format_count(scarce),
        factors=say_count("factor", len(factors)),
    )
    moved = factors[factors["flagged"].eq(True)].sort_values("effective", ascending=False, kind="stable")
    more = [say_name(name) for name in moved.loc[moved["effective"] > moved["weight"], "factor"]]
    return f"{sentence} {say_finding('factors_move', factors=_name_some(more))}" if more else sentence


def state_advice(advice: pd.DataFrame) -> str:
    """State how many partners close below a tier could reach it, and who is closest.

    Args:
        advice: One row a partner: name, next_tier, points_missing, reachable.
    """
    if advice.empty:
        return say_finding("advice_none")
    near = advice[advice["reachable"].astype(bool)].sort_values("points_missing", kind="stable")
    if near.empty:
        return say_finding("advice_out_of_reach", partners=say_count("partner", len(advice)))
    return say_finding(
        "advice",
        n=format_count(len(near)),
        partners=say_count("partner", len(advice)),
        name=str(near["name"].iloc[0]),
        points=format_value(near["points_missing"].iloc[0], "point"),
        tier=say_name(near["next_tier"].iloc[0]),
    )


def state_changes(changes: Iterable[tuple[str, float, float]]) -> str:
    """State which features change from what to what, with as many digits as tell them apart; empty when none does.

    Args:
        changes: Feature, value now and value then, one a change.

    Example:
        >>> state_changes([("trainings_365d", 1.0, 3.0)])
        'Trainings (365 days) from 1 to 3.'
    """
    parts = []
    for feature, now, then in changes:
        digits = next((d for d in range(3, 9) if format_number(now, digits=d) != format_number(then, digits=d)), 9)
        values = {"now": format_number(now, digits=digits), "then": format_number(then, digits=digits)}
        parts.append(say("findings.change", feature=say_name(feature), **values))
    return f"{join_words(parts)[:1].upper()}{join_words(parts)[1:]}." if parts else ""


def state_rank_intervals(ranks: pd.DataFrame) -> str:
    """State how far ranks could move.

    Args:
        ranks: One row a partner: rank (1 is best) and its interval lower, upper (or rank_lower, rank_upper).
    """
    ranks = ranks.rename(columns={"rank_lower": "lower", "rank_upper": "upper"})
    rated = ranks.dropna(subset=["rank", "lower", "upper"])
    if rated.empty:
        return say_finding("ranks_unknown")
    width = (rated["upper"].astype(float) - rated["lower"].astype(float) + 1).median()
    sentence = say_finding("ranks", partners=say_count("partner", len(rated)), width=format_count(width))
    tied = rated["rank"].value_counts()
    if tied.max() < FEW:
        return sentence
    rank = format_count(rated["rank"].mode().iloc[0])
    shared = say_finding("ranks_shared", partners=say_count("partner", tied.max()), rank=rank)
    return f"{sentence} {shared}"


def state_proof(proof: pd.DataFrame) -> str:
    """State how well the rating ordered one outcome, and whether a plain figure does it better.

    Args:
        proof: One row a predictor: outcome, predictor (`rating` first), n, value, lower, upper, winner.
    """
    known = proof.dropna(subset=["value"])
    if known.empty or known["predictor"].iloc[0] != "rating":
        return say_finding("proof_unknown")
    rating, others = known.iloc[0], known.iloc[1:].sort_values("value", ascending=False, kind="stable")
    sentence = say_finding(
        "proof",
        outcome=say_name(rating["outcome"]),
        value=format_number(rating["value"], digits=2),
        interval=tell_between(rating, lambda value: format_number(value, digits=2)),
        partners=say_count("partner", rating["n"]),
    )
    better, worse = others[others["winner"] == "baseline"], others[others["winner"] == "rating"]
    if len(better):
        value = format_number(better["value"].iloc[0], digits=2)
        return f"{sentence} {say_finding('proof_beaten', baseline=say_name(better['predictor'].iloc[0]), value=value)}"
    if len(worse):
        return f"{sentence} {say_finding('proof_wins', baselines=join_words(map(say_name, worse['predictor'])))}"
    return sentence


def state_tier_proof(tiers: pd.DataFrame, *, currency: str) -> str:
    """State whether a better tier meant a better outcome.

    Args:
        tiers: One row a tier, best first: tier, mean (money), monotone.
        currency: Currency.
    """
    known = tiers.dropna(subset=["mean"])
    if len(known) < 2:
        return say_finding("tier_proof_unknown")
    best, last = known.iloc[0], known.iloc[-1]
    return say_finding(
        "tier_proof" if best["monotone"] else "tier_proof_mixed",
        best=say_name(best["tier"]),
        best_mean=format_money(best["mean"], currency),
        last=say_name(last["tier"]),
        last_mean=format_money(last["mean"], currency),
    )


def state_steadiness(steadiness: pd.DataFrame) -> str:
    """State how much the order moves from month to month and under noise.

    Args:
        steadiness: One row a disturbance: disturbance (month, noise, dropped), spearman, share_shift, score_change.
    """
    told = steadiness.set_index("disturbance")
    if told.empty or told.loc[["month", "noise"], "share_shift"].isna().any():
        return say_finding("steadiness_unknown")
    change = float(told["score_change"].fillna(0).max())
    sentence = say_finding(
        "steadiness",
        month=format_share(float(told["share_shift"]["month"])),
        noise=format_share(float(told["share_shift"]["noise"])),
    )
    return sentence if change > 1e-9 else f"{sentence} {say_finding('steadiness_frozen')}"


def state_rating_models(models: pd.DataFrame) -> str:
    """State which way of weighting orders next year's revenue best, and whether that is more than chance.

    Args:
        models: One row a model: model, used, revenue (rank correlation), lower, upper.
    """
    known = models.dropna(subset=["revenue"]).sort_values("revenue", ascending=False, kind="stable")
    if len(known) < 2 or not known["used"].any():
        return say_finding("rating_models_unknown")
    used, best = known[known["used"]].iloc[0], known.iloc[0]
    if best["model"] == used["model"]:
        return say_finding("rating_models_best", used=say_name(used["model"]), models=format_count(len(known)))
    close = best["lower"] <= used["revenue"]
    return say_finding(
        "rating_models_close" if close else "rating_models",
        best=say_name(best["model"]),
        best_value=format_number(best["revenue"], digits=2),
        used=say_name(used["model"]),
        used_value=format_number(used["revenue"], digits=2),
    )


def state_fairness(fairness: pd.DataFrame) -> str:
    """State whether the rating favors or slights a group of partners.

    Args:
        fairness: One row a group: by, group (a name), n, difference (points), lower, upper, flagged, assessed.
    """
    assessed = fairness[fairness["assessed"].astype(bool)]
    if assessed.empty:
        return say_finding("fairness_unknown")
    flagged = assessed[assessed["flagged"].astype(bool)]
    if flagged.empty:
        return say_finding("fairness", groups=format_count(len(assessed)))
    most = flagged.iloc[int(flagged["difference"].abs().argmax())]
    return say_finding(
        "fairness_more" if most["difference"] > 0 else "fairness_less",
        by=say_name(most["by"]),
        group=say_name(most["group"]),
        points=format_value(abs(most["difference"]), "point"),
    )


def state_tier_changes(changes: pd.DataFrame, *, partners: int) -> str:
    """State how many partners rose and fell within a year.

    Args:
        changes: One row a change: partner_id, kind (`promoted` or `demoted`).
        partners: Partners with a rating.
    """
    rose, fell = (int((changes["kind"] == kind).sum()) for kind in ("promoted", "demoted"))
    if not rose + fell:
        return say_finding("tier_changes_none", partners=say_count("partner", partners))
    return say_finding(
        "tier_changes", rose=format_count(rose), fell=format_count(fell), partners=say_count("partner", partners)
    )


def state_economics(economics: pd.DataFrame, *, currency: str) -> str:
    """State what privileges cost and which tier brings most after them.

    Args:
        economics: One row a date and tier: as_of, tier, partners, revenue, margin, privileges, net (money a year). The
            last date is told.
        currency: Currency.
    """
    known = economics[economics["as_of"] == economics["as_of"].max()].dropna(subset=["net"])
    if known.empty:
        return say_finding("economics_unknown")
    best = known.iloc[int(known["net"].argmax())]
    return say_finding(
        "economics",
        cost=format_money(known["privileges"].sum(), currency),
        margin=format_money(known["margin"].sum(), currency),
        tier=say_name(best["tier"]),
        net=format_money(best["net"], currency),
    )


def state_what_if(what_if: pd.DataFrame, *, currency: str) -> str:
    """State what lower thresholds would change.

    Args:
        what_if: One row a shift: shift (points), promoted, demoted, privileges, net (money a year).
        currency: Currency.
    """
    if what_if.empty or not (what_if["shift"] < 0).any():
        return say_finding("what_if_unknown")
    shift = what_if["shift"]
    lower, same = what_if.iloc[int(shift.argmin())], what_if.iloc[int(shift.abs().argmin())]
    return say_finding(
        "what_if",
        points=format_value(-lower["shift"], "point"),
        promoted=say_count("partner", lower["promoted"]),
        cost=format_money(lower["privileges"] - same["privileges"], currency),
    )


def state_stages(current: pd.DataFrame) -> str:
    """State at which stage most partners (or deals) stand.

    Args:
        current: One row a traveler: stage, and deal_id where deals travel.
    """
    if current.empty:
        return say_finding("stages_unknown")
    counts = current["stage"].value_counts()
    noun = "deal" if "deal_id" in current and current["deal_id"].notna().all() else "partner"
    return say_finding(
        "stages",
        stage=say_name(counts.index[0]),
        n=format_count(counts.iloc[0]),
        travelers=say_count(noun, len(current)),
        share=format_share(counts.iloc[0] / len(current)),
    )


def state_conversion(conversion: pd.DataFrame, *, horizon_days: int) -> str:
    """State from which stage fewest move on within the horizon, and from which most.

    Args:
        conversion: One row a stage (and group): stage, conversion, lower, upper (0 to 1), n.
        horizon_days: Days within which moving on counts.
    """
    known = conversion.dropna(subset=["conversion"]).sort_values("conversion", kind="stable")
    days = say_count("day", horizon_days)
    if not conversion["n"].sum():
        return say_finding("conversion_none")
    if known.empty:
        return say_finding("conversion_unknown", days=days)
    least, most = known.iloc[0], known.iloc[-1]
    facts = {
        "stage": _name_row(least),
        "share": format_share(least["conversion"]),
        "interval": tell_between(least, format_share),
        "days": days,
    }
    if len(known) == 1:
        return say_finding("conversion_one", **facts)
    return say_finding("conversion", most=_name_row(most), most_share=format_share(most["conversion"]), **facts)


def state_time_in_stage(times: pd.DataFrame) -> str:
    """State where partners stay longest, and where fewer than half have moved on.

    Args:
        times: One row a stage (and group): stage, n, censored (still there), median_days, lower, upper (days).
    """
    known = times.dropna(subset=["median_days"]).sort_values("median_days", ascending=False, kind="stable")
    open_ended = times[times["median_days"].isna() & (times["n"] > times["censored"])]  # not where a way ends
    still = _name_some([_name_row(row) for _, row in open_ended.iterrows()])
    if known.empty:
        return say_finding("time_open", stages=still) if len(open_ended) else say_finding("time_unknown")
    longest = known.iloc[0]
    sentence = say_finding(
        "time",
        stage=_name_row(longest),
        days=format_value(longest["median_days"], "day"),
        interval=tell_between(longest, format_number),
    )
    return f"{sentence} {say_finding('time_open', stages=still)}" if len(open_ended) else sentence


def state_bottlenecks(bottlenecks: pd.DataFrame, *, currency: str) -> str:
    """State at which stage most money waits.

    Args:
        bottlenecks: One row a stage: stage, waiting, median_wait_days, money_waiting.
        currency: Currency of the money.
    """
    known = bottlenecks[bottlenecks["money_waiting"] > 0].sort_values("money_waiting", ascending=False, kind="stable")
    if known.empty:
        busy = bottlenecks[bottlenecks["waiting"] > 0].sort_values("waiting", ascending=False, kind="stable")
        if busy.empty:
            return say_finding("bottlenecks_unknown")
        first = busy.iloc[0]
        return say_finding(
            "bottlenecks_no_money", stage=say_name(first["stage"]), waiting=format_count(first["waiting"])
        )
    first = known.iloc[0]
    return say_finding(
        "bottlenecks",
        stage=say_name(first["stage"]),
        money=format_money(first["money_waiting"], currency),
        waiting=format_count(first["waiting"]),
        days=format_value(first["median_wait_days"], "day"),
    )


def state_plan(plan: pd.DataFrame, *, currency: str) -> str:
    """State how many partners have a next step, which is the most common, and what all steps take.

    Args:
        plan: One row a partner: action (missing for none), hours, cost.
        currency: Currency of the cost.
    """
    planned = plan.dropna(subset=["action"])
    planned = planned[planned["action"].astype(str) != ""]
    if planned.empty:
        return say_finding("plan_none")
    counts = planned["action"].value_counts()
    return say_finding(
        "plan",
        partners=say_count("partner", len(planned)),
        action=say_name(counts.index[0]),
        n=format_count(counts.iloc[0]),
        hours=format_value(planned["hours"].sum(), "hour"),
        money=format_money(planned["cost"].sum(), currency),
    )


def state_metric(metrics: pd.DataFrame, *, metric: str, programme: pd.DataFrame | None = None) -> str:
    """State one metric with its interval, against the whole programme where that is given.

    Args:
        metrics: One row a metric: metric, value, lower, upper, unit, and region where it is known.
        metric: The metric to state.
        programme: The same of the whole programme.
    """
    chosen = metrics[metrics["metric"] == metric].dropna(subset=["value"])
    name = say_name(metric)
    if chosen.empty:
        return say_finding("metric_unknown", metric=name)
    row = chosen.iloc[0]
    form = _form(row)
    facts = {"metric": name, "value": form(row["value"]), "interval": tell_between(row, form)}
    other = pd.DataFrame() if programme is None else programme[programme["metric"] == metric].dropna(subset=["value"])
    if other.empty or row.get("region") == "all":
        return say_finding("metric", **facts)
    return say_finding("metric_against", programme=form(other["value"].iloc[0]), **facts)


def state_metric_by_group(metrics: pd.DataFrame, *, metric: str, by: str) -> str:
    """State which group leads in a metric and which comes last, and whether that may be chance.

    Args:
        metrics: One row a group and metric: a column named as `by`, metric, value, lower, upper, unit.
        metric: The metric to state.
        by: The column of the groups.
    """
    chosen = metrics[(metrics["metric"] == metric) & (metrics[by].astype(str) != "all")].dropna(subset=["value"])
    chosen = chosen.sort_values("value", ascending=False, kind="stable")
    if len(chosen) < 2:
        return say_finding("metric_one_group" if len(chosen) else "metric_unknown", metric=say_name(metric))
    most, least = chosen.iloc[0], chosen.iloc[-1]
    form = _form(most)
    sentence = say_finding(
        "metric_groups",
        metric=say_name(metric),
        most=_name_group(most[by], by),
        most_value=form(most["value"]),
        interval=tell_between(most, form),
        least=_name_group(least[by], by),
        least_value=form(least["value"]),
        least_interval=tell_between(least, form),
    )
    if pd.notna(most["lower"]) and pd.notna(least["upper"]) and most["lower"] <= least["upper"]:
        return f"{sentence} {say_finding('overlap')}"
    return sentence


def state_metric_trend(trend: pd.DataFrame, *, metric: str, unit: str) -> str:
    """State from what to what a metric went over the whole period.

    Args:
        trend: One row a date: as_of, value.
        metric: Name of the metric.
        unit: Its unit.
    """
    known = trend.dropna(subset=["value"]).sort_values("as_of")
    if len(known) < 2:
        return say_finding("trend_unknown", metric=say_name(metric))
    first, last = known.iloc[0], known.iloc[-1]
    before, after = format_value(first["value"], unit), format_value(last["value"], unit)
    key = "trend_same" if before == after else "trend_up" if last["value"] > first["value"] else "trend_down"
    return say_finding(
        key,
        metric=say_name(metric),
        before=before,
        after=after,
        first=format_date(first["as_of"]),
        last=format_date(last["as_of"]),
    )


def state_experiments(experiments: pd.DataFrame) -> str:
    """State how many experiments there are and how many partners take part.

    Args:
        experiments: One row an experiment and variant: experiment, variant, n (partners).
    """
    if experiments.empty:
        return say_finding("experiments_none")
    return say_finding(
        "experiments",
        experiments=say_count("experiment", experiments["experiment"].nunique()),
        variants=say_count("variant", len(experiments)),
        partners=say_count("partner", int(experiments["n"].sum())),
    )


def _state_revenue(sizes: pd.DataFrame, *, told: int) -> str:
    """State which segment brings most revenue, "it" if it was just told of; nothing where revenue is not known."""
    if "share_of_revenue" not in sizes or sizes["share_of_revenue"].isna().all():
        return ""
    most = sizes.sort_values("share_of_revenue", ascending=False, kind="stable").iloc[0]
    shares = {"revenue": format_share(most["share_of_revenue"]), "share": format_share(most["share"])}
    name = say("findings.it") if most["segment"] == told else _quote(most["name"])
    return say_finding("sizes_revenue", name=name, **shares)


def say_finding(key: str, **values: str) -> str:
    """Say a sentence of the catalog's findings, its first letter a capital."""
    sentence = say(f"findings.{key}", **values)
    return sentence[:1].upper() + sentence[1:]


def tell_between(row: pd.Series, form: Callable[[float], str]) -> str:
    """Say an interval in plain words, in brackets; nothing where there is none."""
    lower, upper = row.get("lower", math.nan), row.get("upper", math.nan)
    if pd.isna(lower) and pd.isna(upper):
        return ""
    if pd.isna(upper) or upper == float("inf"):
        return say("findings.at_least", lower=form(lower))
    if pd.isna(lower):
        return say("findings.at_most", upper=form(upper))
    return say("findings.between", interval=say("interval", lower=form(lower), upper=form(upper)))


def _form(row: pd.Series) -> Callable[[float], str]:
    return lambda value: format_value(value, str(row["unit"]))


def _name_row(row: pd.Series) -> str:
    """Name a stage, with its group where there are several."""
    group = row.get("group", "all")
    stage = say_name(row["stage"])
    return stage if pd.isna(group) or group == "all" else say("findings.stage_of", stage=stage, group=say_name(group))


def _quote(name: object) -> str:
    """Put the name of a segment, which may be long and hold commas, between quotation marks."""
    return say("quote", name=str(name))


def _name_group(group: object, by: str) -> str:
    return _quote(group) if by == "segment_name" else say_name(group)


def _name_some(names: list[str]) -> str:
    return join_some(names, most=_MOST_NAMES)
