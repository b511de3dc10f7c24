"""List doubts: what is missing, set aside or too small on a page, one sentence each; none when there is nothing."""

from typing import Any

import pandas as pd

from partnerseg.report.language import format_count, format_share, join_some, say, say_count, say_message, say_name

WELL_KNOWN = 0.9  # share of the weight under which a rating rests on less than it should
RELIABLE = 0.6  # stability under which a segment is a hint (Hennig 2007)


def list_unknown(unknown: pd.DataFrame, notices: pd.DataFrame) -> list[str]:
    """List the tables and columns that no source knows, and what the checks found worth a look.

    Args:
        unknown: One row a column: table, column; column `*` where the whole table is not known.
        notices: One row a notice: kind, table, file, column, rows, message.
    """
    tables = [say_name(table) for table in unknown.loc[unknown["column"] == "*", "table"]]
    doubts = [_say("unknown_tables", tables=join_some(tables))] if tables else []
    columns = unknown[unknown["column"] != "*"]
    for table, names in columns.groupby("table", sort=False)["column"]:
        doubts.append(_say("unknown_columns", table=say_name(table), columns=join_some([say_name(n) for n in names])))
    for row in notices[notices["kind"] == "warn"].to_dict("records"):
        place = ", ".join(part for part in (row["file"], *map(say_name, (row["table"], row["column"]))) if part)
        message = say_message(row["message"])
        doubts.append(_say("notice", place=place, rows=say_count("row", row["rows"]), message=message))
    return doubts


def list_segment_doubts(partners: pd.DataFrame, evidence: Any, profile: pd.DataFrame) -> list[str]:
    """List what makes the segments doubtful.

    Args:
        partners: One row a partner: segment (-1 belongs to none), probability of the likeliest segment (0 to 1).
        evidence: The segmenter's `evidence_`: found, reason.
        profile: One row a segment: segment, name, stability (0 to 1).
    """
    if not evidence.found:
        return [_say("no_segments", reason=str(evidence.reason))]
    doubts = []
    shaky = profile.loc[profile["stability"] < RELIABLE, "name"].tolist()
    if shaky:
        doubts.append(_say("unstable", names=join_some([say("quote", name=name) for name in shaky])))
    unsure = int((partners["probability"] < 0.5).sum())
    if unsure:
        doubts.append(_say("unsure", partners=say_count("partner", unsure), share=format_share(unsure / len(partners))))
    return doubts


def list_rating_doubts(partners: pd.DataFrame, factors: pd.DataFrame, *, min_coverage: float) -> list[str]:
    """List whom the rating leaves out and which factors it hardly knows.

    Args:
        partners: One row a partner: score (missing: not rated), coverage (0 to 1).
        factors: One row a factor: factor, coverage (share of partners known, 0 to 1).
        min_coverage: Least share of the weight that must be known for a score.
    """
    doubts = []
    unrated = int(partners["score"].isna().sum())
    if unrated:
        least = format_share(min_coverage)
        doubts.append(_say("unrated", partners=say_count("partner", unrated), least=least))
    typical = partners.loc[partners["score"].notna(), "coverage"].median()
    if typical < WELL_KNOWN:
        doubts.append(_say("rated_by", share=format_share(typical)))
    nothing = [say_name(name) for name in factors.loc[factors["coverage"] == 0, "factor"]]
    if nothing:
        doubts.append(_say("factors_unknown", factors=join_some(nothing)))
    scarce = factors[(factors["coverage"] > 0) & (factors["coverage"] < 0.5)]
    if len(scarce):
        doubts.append(_say("factors_scarce", factors=join_some([say_name(name) for name in scarce["factor"]])))
    return doubts


def list_journey_doubts(counts: dict[str, int], plan: pd.DataFrame, conversion: pd.DataFrame) -> list[str]:
    """List what the journey leaves out.

    Args:
        counts: The journey's `counts_`: what was used and left out.
        plan: One row a partner: action (missing for none), expected_gain (missing: not known).
        conversion: One row a stage: stage, n (stays with a date), conversion (missing: too few followed so long).
    """
    doubts = []
    if not counts["travelers"]:
        return [_say("no_stages")]
    undated = counts["since_unknown_day"]
    if undated:
        doubts.append(_say("undated", count=format_count(undated)))
    young = conversion["conversion"].isna() & (conversion["n"] > 0)  # others have no date: told above
    open_stages = [say_name(stage) for stage in conversion.loc[young, "stage"]]
    if open_stages:
        doubts.append(_say("immature", stages=join_some(open_stages)))
    planned = plan[plan["action"].fillna("") != ""]
    unknown = int(planned["expected_gain"].isna().sum())
    if unknown:
        doubts.append(_say("gain_unknown", steps=say_count("step", unknown)))
    return doubts


def list_metric_doubts(metrics: pd.DataFrame) -> list[str]:
    """List the metrics that cannot be told, with the reason.

    Args:
        metrics: One row a metric: metric, value (missing: not known), reason.
    """
    unknown = metrics[metrics["value"].isna()]
    return [
        _say("metric_unknown", metrics=join_some([say_name(name) for name in names]), reason=say_message(str(reason)))
        for reason, names in unknown.groupby("reason", sort=False)["metric"]
    ]


def _say(key: str, **values: str) -> str:
    sentence = say(f"doubts.{key}", **values)
    return sentence[:1].upper() + sentence[1:]
