"""Choose what a reader needs of a result table; the whole table stays in the CSV beside it."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from partnerseg.report.language import join_words, say, say_message, say_name


def list_moves(moves: pd.DataFrame) -> pd.DataFrame:
    """List who moved from where to where, the largest moves first.

    Args:
        moves: One row a segment a year ago and `joined`; a column a segment now and `left`; the first column names
            the row. Values are partners.

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
    long = moves.melt(id_vars=ago, var_name="now", value_name="partners").rename(columns={ago: "a_year_ago"})
    moved = long[(long["a_year_ago"] != long["now"]) & (long["partners"] > 0)]
    return moved.sort_values("partners", ascending=False, kind="stable", ignore_index=True)


def list_factors(factors: pd.DataFrame) -> pd.DataFrame:
    """List what the rating weighs, the heaviest factor first.

    Args:
        factors: One row a factor: factor, pillar, features and direction (lists, or words between commas), grade,
            weight (they sum to 1), coverage (share of partners known, 0 to 1).

    Returns:
        One row a factor: factor, pillar, made_of, grade, weight_share, coverage.
    """
    made_of = [
        join_words(
            say_name(name) if way == "up" else say("less", name=say_name(name))
            for name, way in zip(_split(features), _split(directions), strict=True)
        )
        for features, directions in zip(factors["features"], factors["direction"], strict=True)
    ]
    listed = factors.assign(made_of=made_of, weight_share=factors["weight"])
    listed = listed[["factor", "pillar", "made_of", "grade", "weight_share", "coverage"]]
    return listed.sort_values("weight_share", ascending=False, kind="stable", ignore_index=True)


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
        plan: One row a partner: name, stage, title (missing where there is no step), reason, channel, language,
            expected_gain (missing: not known), due_at.
        currency: Currency of the gain.

    Returns:
        The partners with a step; without a column of gains where none is known.
    """
    columns = ["name", "stage", "title", "reason", "channel", "language", "due_at", "expected_gain"]
    listed = plan.loc[plan["title"].notna(), columns]
    listed = listed.sort_values(["expected_gain", "due_at"], ascending=[False, True], kind="stable")
    if listed["expected_gain"].isna().all():
        return listed.drop(columns="expected_gain")
    return listed.rename(columns={"expected_gain": f"{say_name('expected_gain')}, {currency}"})


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
