"""Choose what a reader needs of a result table; the whole table stays in the CSV beside it."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from partnerseg.report.language import MISSING, format_number, join_words, say, say_message, say_name

_TELLING = 0.5  # least share of rows for which a column of the plan is filled


def list_moves(moves: pd.DataFrame) -> pd.DataFrame:
    """List who moved from where to where, the largest moves first.

    Args:
        moves: One row a segment a year ago, then `joined`; a column a segment now, in the same order, then `left`; the
            first column names the row. Values are partners.

    Returns:
        One row a move that somebody made: a_year_ago, now, partners.

    Example:
        >>> moves = pd.DataFrame({"a_year_ago": ["A", "B", "joined"], "A": [6, 1, 0], "B": [2, 2, 3], "left": 0})
        >>> print(list_moves(moves).to_string(index=False))
        a_year_ago now  partners
            joined   B         3
                 A   B         2
                 B   A         1
    """
    ago = str(moves.columns[0])
    inner = moves[ago].ne("joined").sum()
    counts = moves.drop(columns=ago).to_numpy(dtype="int64", copy=True)
    counts[range(inner), range(inner)] = 0  # who stayed
    long = moves.assign(**dict(zip(moves.columns[1:], counts.T, strict=True)))
    long = long.melt(id_vars=ago, var_name="now", value_name="partners").rename(columns={ago: "a_year_ago"})
    moved = long[long["partners"] > 0]
    return moved.sort_values("partners", ascending=False, kind="stable", ignore_index=True)


def list_segments(profile: pd.DataFrame) -> pd.DataFrame:
    """List what sets the segments apart, the largest first, the background last.

    Args:
        profile: One row a segment: segment (-1 is the background), name, n, share_of_revenue, coverage, differs.
    """
    columns = ["name", "differs", "n", "share_of_revenue", "coverage"]
    return profile[columns].rename(columns={"name": "segment_name", "n": "partners"})


def list_typical(profile: pd.DataFrame) -> pd.DataFrame:
    """List the typical values of every segment.

    Args:
        profile: One row a segment: name, how large, known and stable it is, then typical values.
    """
    known = [
        "segment",
        "n",
        "share",
        "share_of_revenue",
        "revenue_coverage",
        "coverage",
        "stability",
        "chance_stability",
        "differs",
    ]
    return profile.drop(columns=known, errors="ignore").rename(columns={"name": "segment_name"})


def list_exemplars(exemplars: pd.DataFrame) -> pd.DataFrame:
    """List the typical members of each segment in one row.

    Args:
        exemplars: One row a typical member, the most typical of each segment first: segment, segment_name, name.

    Example:
        >>> exemplars = pd.DataFrame({"segment": [0, 0], "segment_name": "Agents", "name": ["Blue", "Red"]})
        >>> list_exemplars(exemplars).iloc[0].tolist()
        ['Agents', 'Blue; Red']
    """
    groups = exemplars.groupby(["segment", "segment_name"])["name"]
    return groups.agg("; ".join).reset_index("segment_name").reset_index(drop=True).rename(columns={"name": "typical"})


def list_questions(questions: pd.DataFrame, *, regions: Iterable[Any]) -> pd.DataFrame:
    """List whom to ask for what, one row a partner, the least certain first.

    Args:
        questions: Index partner_id, one row a question: name, segment_name, second, probability, field,
            expected_gain (bits), region (its code).
        regions: Regions with code and name.
    """
    asked = questions.assign(
        ask=[
            say("asked", field=say_name(field), gain=format_number(gain, digits=2))
            for field, gain in zip(questions["field"], questions["expected_gain"], strict=True)
        ]
    )
    groups = asked.groupby(level=0, sort=False)
    listed = groups[["name", "segment_name", "probability", "second", "region"]].first()
    listed["ask"] = groups["ask"].agg("; ".join)
    listed = listed.assign(region=_name_regions(listed["region"], regions)).reset_index(drop=True)
    return listed if len(set(listed["region"])) > 1 else listed.drop(columns="region")


def list_criteria_segments(segments: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """List the criteria segments, those with most revenue first; small ones are marked.

    Args:
        segments: One row a segment: segment, n, share, revenue, revenue_share, coverage, is_small.
        currency: Currency of the revenue.
    """
    small = segments["segment"].where(~segments["is_small"], segments["segment"].map(lambda name: f"{name} [u]"))
    listed = segments.assign(criteria_segment=small).sort_values(["revenue", "n"], ascending=False, kind="stable")
    columns = ["criteria_segment", "n", "share", "revenue", "revenue_share", "coverage"]
    names = {"n": "partners", "revenue": f"{say_name('revenue')}, {currency}", "coverage": "revenue_coverage"}
    return listed[columns].rename(columns=names).reset_index(drop=True)


def list_potential(potential: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """List what typical partners of each type sold, are expected to sell and could reach, most headroom first.

    Args:
        potential: One row a partner type, medians with `_low` and `_high`: monetary_value_365d, forecast_value,
            potential_value, headroom_value; n.
        currency: Currency of all of them.
    """
    listed = potential.sort_values("headroom_value", ascending=False, kind="stable", ignore_index=True)
    table = listed[["partner_type"]].assign(partners=listed["n"], sold=listed["monetary_value_365d"].map(format_number))
    for kind in ("forecast", "potential", "headroom"):
        ends = [listed[f"{kind}{end}"].map(format_number) for end in ("_value", "_low", "_high")]
        table[kind] = [
            say("with_range", value=value, lower=low, upper=high) if high != MISSING else value
            for value, low, high in zip(*ends, strict=True)
        ]
    names = {name: f"{say_name(name)}, {currency}" for name in ("sold", "forecast", "potential", "headroom")}
    return table.rename(columns=names)


def list_lineage(lineage: pd.DataFrame) -> pd.DataFrame:
    """List what became of the segments of a year ago: changes first, then what continued.

    Args:
        lineage: One row an event: event, old, new (names in words), n_old, n_new, kept (share of old members).
    """
    order = lineage["event"].eq("continued").sort_values(kind="stable").index
    columns = {"event": "event", "old": "a_year_ago", "n_old": "partners_then", "new": "now", "n_new": "partners_now"}
    listed = lineage.loc[order, [*columns, "kept"]].rename(columns=columns).reset_index(drop=True)
    empty = {"a_year_ago": listed["a_year_ago"] == "", "now": listed["now"] == ""}
    return listed.assign(
        event=listed["event"].map(lambda event: say(f"events.{event}")),
        **{name: listed[name].mask(missing, say("none")) for name, missing in empty.items()},
    )


def list_movers(partners: pd.DataFrame) -> pd.DataFrame:
    """List who moved from where to where and what changed, those with most revenue first.

    Args:
        partners: One row a partner: name, moved_from (missing: did not move), moved_to, move_cause,
            monetary_value_365d.
    """
    moved = partners[partners["move_cause"].notna()].sort_values("monetary_value_365d", ascending=False, kind="stable")
    listed = moved[["name", "moved_from", "moved_to", "move_cause"]].reset_index(drop=True)
    return listed.assign(move_cause=listed["move_cause"].map(lambda cause: say(f"causes.{cause}")))


def list_drift(drift: pd.DataFrame) -> pd.DataFrame:
    """List how far the segments of a year ago have gone, the farthest first.

    Args:
        drift: One row a segment: name, n_old, n_new, way, nearest, spread, unknown_old, unknown_new, stale.
    """
    columns = {"name": "segment_name", "n_old": "partners_then", "n_new": "partners_now", "way": "way_share"}
    columns |= {name: name for name in ("nearest", "spread", "stale")}
    listed = drift.sort_values("way", ascending=False, kind="stable", ignore_index=True)
    return listed[list(columns)].rename(columns=columns)


def list_factors(factors: pd.DataFrame) -> pd.DataFrame:
    """List what the rating weighs, the heaviest factor first.

    Args:
        factors: One row a factor: factor, pillar, features and direction (lists, or words between commas), grade,
            weight (they sum to 1), counted (mean share of it that counts by the evidence at hand, 0 to 1), effective
            (the weight it has in effect; missing where not known), coverage (share of partners known, 0 to 1).

    Returns:
        One row a factor: factor, pillar, made_of, grade, weight_share, counted_share, effective_share, coverage.
    """
    made_of = [
        join_words(
            say_name(name) if way == "up" else say("less" if way == "down" else "target", name=say_name(name))
            for name, way in zip(_split(features), _split(directions), strict=True)
        )
        for features, directions in zip(factors["features"], factors["direction"], strict=True)
    ]
    shares = {"weight_share": "weight", "counted_share": "counted", "effective_share": "effective"}
    listed = factors.assign(made_of=made_of).rename(columns={column: name for name, column in shares.items()})
    listed = listed[["factor", "pillar", "made_of", "grade", *shares, "coverage"]]
    return listed.sort_values("weight_share", ascending=False, kind="stable", ignore_index=True)


def list_proof(proof: pd.DataFrame) -> pd.DataFrame:
    """List how well each predictor ordered each outcome.

    Args:
        proof: One row an outcome and predictor: outcome, predictor, n, value (rank correlation), lower, upper, kendall,
            top_decile_lift, auc (missing where the outcome is not yes or no), winner (rating, baseline, undecided or
            missing).
    """
    listed = proof[["outcome", "predictor", "n", "value", "lower", "upper", "kendall", "top_decile_lift", "auc"]]
    winner = proof["winner"].map(lambda name: say(f"winners.{name}") if isinstance(name, str) else say("none"))
    named = {column: listed[column].map(say_name) for column in ("outcome", "predictor")}
    listed = listed.rename(columns={"value": "rank_correlation", "auc": "pairs_share"})
    return listed.assign(**named, better=winner).reset_index(drop=True)


def list_steadiness(steadiness: pd.DataFrame) -> pd.DataFrame:
    """List how much the order of partners moves when something happens that should not matter.

    Args:
        steadiness: One row a disturbance: disturbance (month, noise, dropped), spearman, share_shift (0 to 1),
            score_change (points); missing where not measured.
    """
    what = steadiness["disturbance"].map(lambda name: say(f"disturbances.{name}"))
    columns = {"spearman": "rank_correlation", "share_shift": "ranks_moved_share", "score_change": "points_moved"}
    return steadiness.assign(disturbance=what)[["disturbance", *columns]].rename(columns=columns)


def list_rating_models(models: pd.DataFrame) -> pd.DataFrame:
    """List the ways of weighting side by side, the present one first.

    Args:
        models: One row a model: model, used (it is the present one), revenue (rank correlation with next year's),
            lower, upper, auc (who stays), agreement (rank correlation with the present rating).
    """
    ordered = models.sort_values(["used", "revenue"], ascending=False, kind="stable", ignore_index=True)
    names = [
        say("in_use", name=say_name(model)) if used else say_name(model)
        for model, used in zip(ordered["model"], ordered["used"], strict=True)
    ]
    columns = {"model": "way_of_weighting", "revenue": "orders_revenue", "auc": "tells_who_stays_share"}
    return ordered.assign(model=names).drop(columns="used").rename(columns=columns)


def list_fairness(fairness: pd.DataFrame, *, regions: Iterable[Any]) -> pd.DataFrame:
    """List how groups of partners fare in the rating, those that stand out first.

    Args:
        fairness: One row a group: by, group, n, difference (points against all others of the same outcome), lower,
            upper, flagged, assessed (false where there are too few).
        regions: Regions with code and name.
    """
    names = {str(region.code): region.name for region in regions}
    listed = fairness.sort_values(["flagged", "n"], ascending=False, kind="stable", ignore_index=True)
    group = [
        names.get(str(group), str(group)) if by == "region" else say_name(group)
        for by, group in zip(listed["by"], listed["group"], strict=True)
    ]
    columns = {"difference": "points_more", "flagged": "stands_out"}
    listed = listed.assign(group=group, by=listed["by"].map(say_name)).rename(columns=columns)
    return listed[["by", "group", "n", "points_more", "lower", "upper", "stands_out"]]


def list_tier_changes(changes: pd.DataFrame) -> pd.DataFrame:
    """List who rose and who fell, the latest first.

    Args:
        changes: One row a change: name, as_of, before, after (tiers; missing: not rated), reason.
    """
    listed = changes.sort_values("as_of", ascending=False, kind="stable", ignore_index=True)
    tier = {
        column: listed[column].map(lambda value: say_name(value) if isinstance(value, str) else say("figures.unrated"))
        for column in ("before", "after")
    }
    tier["as_of"] = pd.to_datetime(listed["as_of"])
    named = listed.assign(**tier).rename(columns={"as_of": "changed_on", "before": "tier_before", "after": "tier"})
    return named[["name", "changed_on", "tier_before", "tier", "reason"]]


def list_economics(economics: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """List what each tier brings and costs in a year, the last date and the best tier first.

    Args:
        economics: One row a date and tier: as_of, tier, partners, revenue, margin, privileges, net (money a year).
        currency: Currency of all of them.
    """
    money = ["revenue", "margin", "privileges", "net"]
    listed = economics.assign(as_of=pd.to_datetime(economics["as_of"]))[["as_of", "tier", "partners", *money]]
    return listed.rename(columns={name: f"{say_name(name)}, {currency}" for name in money})


def list_what_if(what_if: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """List what other thresholds would change.

    Args:
        what_if: One row a shift of all thresholds: shift (points), promoted, demoted (partners), privileges, net (money
            a year).
        currency: Currency.
    """
    money = ["privileges", "net"]
    return what_if[["shift", "promoted", "demoted", *money]].rename(
        columns={name: f"{say_name(name)}, {currency}" for name in money}
    )


def list_advice(advice: pd.DataFrame, *, regions: Iterable[Any]) -> pd.DataFrame:
    """List who is closest below the next tier, and what would lift them.

    Args:
        advice: One row a partner: name, tier, next_tier, points_missing, reachable, advice, region (its code).
        regions: Regions with code and name.
    """
    listed = advice[["name", "tier", "next_tier", "points_missing", "advice"]]
    if not advice["reachable"].all():
        listed = listed.assign(reachable=advice["reachable"])
    return listed if advice["region"].nunique() < 2 else listed.assign(region=_name_regions(advice["region"], regions))


def list_steps(plan: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """List the next steps, the largest expected gain first, then what is due first.

    Args:
        plan: One row a partner: name, stage, title (missing where there is no step), reason, owner, channel, language,
            topic, expected_gain (missing: not known), due_at, alternative_title, refusal_cost.
        currency: Currency of the gain.

    Returns:
        The partners with a step; without a column of gains where none is known, of languages where there is one, of
        topics and alternatives where fewer than half have one (`refusal_cost` belongs to the alternative).
    """
    columns = [
        "name", "stage", "title", "expected_gain", "due_at", "owner", "channel", "language", "topic", "reason",
        "alternative_title", "refusal_cost",
    ]  # fmt: skip
    listed = plan.loc[plan["title"].notna(), columns]
    listed = listed.sort_values(["expected_gain", "due_at"], ascending=[False, True], kind="stable")
    scarce = [name for name in ("topic", "alternative_title") if listed[name].notna().mean() < _TELLING]
    scarce += ["language"] if listed["language"].nunique() < 2 else []
    scarce += ["refusal_cost"] if "alternative_title" in scarce else []
    scarce += ["expected_gain", "refusal_cost"] if listed["expected_gain"].isna().all() else []
    listed = listed.drop(columns=scarce)
    return listed.rename(columns={name: f"{say_name(name)}, {currency}" for name in ("expected_gain", "refusal_cost")})


def list_metrics(metrics: pd.DataFrame) -> pd.DataFrame:
    """List the measures: what is known first, then why the others are not.

    Args:
        metrics: One row a metric: metric, value, lower, upper, unit, n, reason.

    Returns:
        One row a metric: metric, value, lower, upper, unit, partners, and why_unknown where there is a reason.
    """
    why = metrics["reason"].map(say_message)
    listed = metrics[["metric", "value", "lower", "upper", "unit"]].assign(partners=metrics["n"], why_unknown=why)
    listed = listed.sort_values("value", key=lambda value: value.isna(), kind="stable", ignore_index=True)
    return listed if listed["value"].isna().any() else listed.drop(columns="why_unknown")


def list_aside(aside: pd.DataFrame) -> pd.DataFrame:
    """List why rows were set aside, with the place of the first.

    Args:
        aside: One row a table, column and reason: table, column, reason, rows, file, line.
    """
    return aside.assign(reason=aside["reason"].map(say_message))


def list_experiments(experiments: pd.DataFrame) -> pd.DataFrame:
    """List the variants of every experiment with their days.

    Args:
        experiments: One row an experiment and variant: experiment, variant, n (partners), first, last.
    """
    days = {name: pd.to_datetime(experiments[name]).dt.normalize() for name in ("first", "last")}
    return experiments[["experiment", "variant", "n"]].rename(columns={"n": "partners"}).assign(**days)


def _split(listed: Any) -> list[str]:
    return listed.split(", ") if isinstance(listed, str) else list(listed)


def _name_regions(codes: pd.Series, regions: Iterable[Any]) -> pd.Series:
    names = {region.code: region.name for region in regions}
    return codes.map(lambda code: names.get(code, code))
