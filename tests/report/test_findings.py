import inspect
from types import SimpleNamespace

import pandas as pd
import pytest

from partnerseg.report import findings
from tests.report import frames as f

FOUND = SimpleNamespace(found=True, reason="", statistic=5.9, null_95=2.0)
NOT_FOUND = SimpleNamespace(found=False, reason="A sample without groups looks just like ours.")
INCOMPARABLE = f.YEAR_BEFORE.assign(why_not="Nobody was in the programme a year ago.", stale=None)

EXPECTED = [
    (
        lambda: findings.state_ledger(f.LEDGER),
        "We used 90% of 1 000 rows from 3 files and set aside 40 rows that could not be read safely.",
    ),
    (
        lambda: findings.state_freshness(f.FRESHNESS, as_of=f.AS_OF),
        "The oldest news comes from tickets: it ends on 27 April 2026, 64 days before this report. "
        "Nothing is known from consents.",
    ),
    (
        lambda: findings.state_coverage(f.COVERAGE),
        "We know most about sales volume (for 98% of partners) and least about training (for 50%). "
        "We know nothing about answers and reviews.",
    ),
    (
        lambda: findings.state_segments(f.SIZES, evidence=FOUND),
        "Partners fall into 2 segments by what they do. 20% belong to none of them clearly.",
    ),
    (
        lambda: findings.state_segments(f.SIZES, evidence=NOT_FOUND),
        "There is no evidence of natural segments. A sample without groups looks just like ours.",
    ),
    (
        lambda: findings.state_freshness(f.FRESHNESS.head(1), as_of=f.AS_OF),
        "The only table with dates reaches the day of this report.",
    ),
    (
        lambda: findings.state_freshness(f.FRESHNESS.head(2), as_of="2026-04-28"),
        "The 2 tables with dates end at most 1 day before this report.",
    ),
    (
        lambda: findings.state_sizes(f.SIZES, f.SIZES.assign(share=[0.1, 0.45]), region="north"),
        "“Old resellers” stands out: 30% of partners here, 10% in the whole programme.",
    ),
    (
        lambda: findings.state_sizes(f.SIZES, f.SIZES, region="all"),
        "“New agents” is the largest segment (50 partners), “Old resellers” the smallest (30 partners).",
    ),
    (
        lambda: findings.state_moves(
            pd.DataFrame({"a year ago": ["A", "B", "joined"], "A": [6, 1, 3], "B": [1, 2, 0], "left": [0, 4, 0]})
        ),
        "80% of the 10 partners known at both dates kept their segment; 3 joined and 4 left.",
    ),
    (
        lambda: findings.state_criteria(f.CRITERIA, criterion="partner_type"),
        "By partner type, reseller is the largest group: 3 of 4 partners (75%). For 1 partner we do not know it.",
    ),
    (
        lambda: findings.state_criteria(f.CRITERIA.head(3), criterion="partner_type"),
        "By partner type all 3 partners are alike: reseller.",
    ),
    (
        lambda: findings.state_structure(FOUND, segments=8),
        "There are 8 segments in the data themselves: they part 3 times as clearly as chance explains.",
    ),
    (
        lambda: findings.state_structure(SimpleNamespace(found=True, statistic=3.0, null_95=0.0), segments=2),
        "There are 2 segments in the data themselves: they part more clearly than chance explains.",
    ),
    (
        lambda: findings.state_structure(NOT_FOUND, segments=1),
        "There is no evidence of natural segments. A sample without groups looks just like ours.",
    ),
    (
        lambda: findings.state_map(f.SIZES, evidence=FOUND),
        "Partners fall into 2 segments by what they do. 20% belong to none of them clearly.",
    ),
    (
        lambda: findings.state_sizes(f.PROFILE.head(2), f.PROFILE, region="all"),
        "“New agents” is the largest segment (50 partners). "
        "“Old resellers” brings most revenue: 65% from 30% of partners.",
    ),
    (
        lambda: findings.state_sizes(f.PROFILE.head(2), f.SIZES.assign(share=[0.5, 0.1]), region="north"),
        "“Old resellers” stands out: 30% of partners here, 10% in the whole programme. "
        "It brings most revenue: 65% from 30% of partners.",
    ),
    (
        lambda: findings.state_differences(f.PROFILE),
        "“New agents” stand out by new, often reply and few products; “Old resellers” by high revenue and "
        "many countries.",
    ),
    (
        lambda: findings.state_typical(f.PROFILE, column="recency_days"),
        "Days since the last sale: typically 3 in “New agents” and 40 in “Old resellers”.",
    ),
    (
        lambda: findings.state_exemplars(f.EXEMPLARS),
        "Blue, Ltd is the most typical partner of “New agents”; each of 2 segments has partners who stand for it.",
    ),
    (
        lambda: findings.state_membership(f.MEMBERS),
        "For 40% of partners we are at least 95% sure which segment is theirs, or the nearest to them. "
        "1 partner (20%) are unlike the members of any.",
    ),
    (
        lambda: findings.state_membership(f.MEMBERS.head(4)),
        "For 50% of partners we are at least 95% sure which segment is theirs, or the nearest to them.",
    ),
    (
        lambda: findings.state_questions(f.QUESTIONS),
        "2 partners could be placed more surely if we knew more of them, most often their declared potential "
        "(2 times).",
    ),
    (
        lambda: findings.state_criteria_segments(f.CRITERIA_SEGMENTS, by=["partner_type", "engagement_level"]),
        "By partner type and engagement level, “agent, active” brings most revenue: 70% from 40% of partners.",
    ),
    (
        lambda: findings.state_criteria_segments(
            f.CRITERIA_SEGMENTS.assign(revenue_share=f.NAN), by=["partner_type"], found=False
        ),
        "As the data hold no natural segments, we sort partners by rule. "
        "By partner type, “reseller, active” is the largest segment: 56 partners. We do not know what it sells.",
    ),
    (
        lambda: findings.state_potential(f.POTENTIAL, currency="EUR"),
        "Most headroom is with agent partners: a typical one sells EUR 600 a year less than it could reach, EUR 1 000 "
        "(between EUR 900 and EUR 1 200). As things go it will sell EUR 70.",
    ),
    (
        lambda: findings.state_potential(
            f.POTENTIAL.drop(index=2).replace({"forecast_value": {80: f.NAN, 70: f.NAN}}), currency="EUR"
        ),
        "A typical partner sells EUR 600 a year less than it could reach, EUR 1 000 (between EUR 900 and EUR 1 200).",
    ),
    (
        lambda: findings.state_lineage(f.LINEAGE, f.YEAR_BEFORE),
        "1 segment of a year ago continues. “B” has split into “B” and “F”. “C” and “D” have merged into “C”. "
        "“E” is gone. “G” is new.",
    ),
    (
        lambda: findings.state_lineage(pd.concat([f.LINEAGE, f.LINEAGE.tail(1)]), f.YEAR_BEFORE),
        "1 segment of a year ago continues. “B” has split into “B” and “F”. “C” and “D” have merged into “C”. "
        "“E” is gone. “G” is new. One more change is in the table.",
    ),
    (
        lambda: findings.state_lineage(pd.concat([f.LINEAGE.head(1)] * 3), f.YEAR_BEFORE),
        "All segments of a year ago continue (3), and there is no new one.",
    ),
    (
        lambda: findings.state_movers(f.MEMBERS),
        "2 of 4 partners (50%) moved for sure: 1 changed themselves and 1 did so while the segments were drawn anew.",
    ),
    (
        lambda: findings.state_movers(f.MEMBERS.assign(move_cause=None)),
        "None of 4 partners known a year ago moved to another segment for sure.",
    ),
    (
        lambda: findings.state_drift(f.DRIFT, f.YEAR_BEFORE),
        "The segments of a year ago still fit: what changed most is “Old resellers”, 20% of the way to “New agents”; "
        "at 25% it would be out of date.",
    ),
    (
        lambda: findings.state_drift(f.DRIFT.assign(nearest=None), f.YEAR_BEFORE),
        "The segments of a year ago still fit.",
    ),
    (
        lambda: findings.state_drift(
            f.DRIFT, f.YEAR_BEFORE.assign(stale=True, reason="“A” went far in recency_days. Fit the model anew.")
        ),
        "The segments of a year ago are out of date. “A” went far in days since the last sale.",
    ),
    (
        lambda: findings.state_metric(
            f.METRICS.head(1).assign(region="all"), metric="revenue_per_partner", programme=f.METRICS
        ),
        "Revenue per partner is EUR 14 100 (between EUR 13 300 and EUR 15 000).",
    ),
    (
        lambda: findings.state_metric_by_group(
            f.METRICS.head(2).assign(segment_name=["A, many sales", "B"], upper=[15000.0, 13000]),
            metric="revenue_per_partner",
            by="segment_name",
        ),
        "Revenue per partner is highest in “A, many sales”, EUR 14 100 (between EUR 13 300 and EUR 15 000), "
        "and lowest in “B”, EUR 12 900 (between EUR 11 700 and EUR 13 000).",
    ),
    (
        lambda: findings.state_profile(
            pd.DataFrame(
                {"name": ["A", "B, far", "background"], "stability": [0.5, 0.9, f.NAN], "chance_stability": 0.45}
            )
        ),
        "“B, far” can be relied on most (stability 0.9), “A” least (0.5); data without segments reach 0.45.",
    ),
    (
        lambda: findings.state_changes([("trainings_365d", 1.0, 3.0), ("monetary_value_365d", 47110.0, 47140.0)]),
        "Trainings (365 days) from 1 to 3 and revenue (365 days) from 47 110 to 47 140.",
    ),
    (
        lambda: findings.state_tiers(f.TIERS),
        "The best tier, gold, holds 1 of 3 partners with a rating (33.3%). "
        "1 partner cannot be rated because we know too little.",
    ),
    (
        lambda: findings.state_factor_contributions(f.CONTRIBUTIONS),
        "Of 22.5 points in the average rating, sales volume gives most (20) and geography least (2.5).",
    ),
    (
        lambda: findings.state_rank_intervals(f.RANKS.rename(columns={"lower": "rank_lower", "upper": "rank_upper"})),
        "Ranks are rough: half of the 30 partners with a rating could stand on any of 11 ranks or more.",
    ),
    (
        lambda: findings.state_rank_intervals(f.RANKS.assign(rank=f.RANKS["rank"].clip(upper=21))),
        "Ranks are rough: half of the 30 partners with a rating could stand on any of 11 ranks or more. "
        "10 partners share rank 21: nothing that we know sets them apart.",
    ),
    (
        lambda: findings.state_stages(f.CURRENT),
        "The largest group stands at onboarded: 3 of 4 partners (75%).",
    ),
    (
        lambda: findings.state_conversion(f.CONVERSION, horizon_days=90),
        "Fewest move on from onboarded: 38.2% (between 34% and 42.3%) within 90 days; most from recruited: 62%.",
    ),
    (
        lambda: findings.state_time_in_stage(f.TIMES),
        "Onboarded takes longest: half stay 64 days or more (at least 58). Fewer than half have left activated so far.",
    ),
    (
        lambda: findings.state_bottlenecks(f.BOTTLENECKS, currency="EUR"),
        "Most money waits at onboarded: EUR 1.23 million, with 54 waiting there, half of them for 64 days or more.",
    ),
    (
        lambda: findings.state_bottlenecks(f.BOTTLENECKS.assign(money_waiting=f.NAN), currency="EUR"),
        "Most wait at onboarded: 54. We do not know what they are worth.",
    ),
    (
        lambda: findings.state_plan(f.PLAN, currency="EUR"),
        "There is a next step for 2 partners, most often welcome call (2); in all that takes 4 hours and EUR 100.",
    ),
    (
        lambda: findings.state_metric(f.METRICS.head(1), metric="revenue_per_partner", programme=f.METRICS.tail(1)),
        "Revenue per partner is EUR 14 100 (between EUR 13 300 and EUR 15 000), "
        "against EUR 9 900 in the whole programme.",
    ),
    (
        lambda: findings.state_metric_by_group(f.METRICS, metric="revenue_per_partner", by="region"),
        "Revenue per partner is highest in north, EUR 14 100 (between EUR 13 300 and EUR 15 000), "
        "and lowest in west, EUR 9 900 (between EUR 8 100 and EUR 11 900).",
    ),
    (
        lambda: findings.state_metric_by_group(f.METRICS.head(2), metric="revenue_per_partner", by="region"),
        "Revenue per partner is highest in north, EUR 14 100 (between EUR 13 300 and EUR 15 000), "
        "and lowest in Київ, EUR 12 900 (between EUR 11 700 and EUR 14 200). "
        "Their intervals overlap, so the difference may be chance.",
    ),
    (
        lambda: findings.state_metric_trend(f.TREND, metric="active_share", unit="share"),
        "Share of partners with a sale rose from 50% on 31 December 2025 to 60% on 30 June 2026.",
    ),
    (
        lambda: findings.state_factors(
            pd.DataFrame(
                {
                    "factor": ["teamwork", "sales_volume"],
                    "weight": [0.25, 0.75],
                    "coverage": [0.2, 0.9],
                    "effective": [0.6, 0.4],
                    "flagged": [True, False],
                }
            )
        ),
        "Sales volume weighs most (75%); fewer than half of the partners are known on 1 of 2 factors. More than twice "
        "their weight in how scores differ: teamwork.",
    ),
    (
        lambda: findings.state_proof(f.PROOF[f.PROOF["outcome"] == "next_revenue"]),
        "The rating of the time orders 900 partners by revenue of the following year with a rank correlation of 0.61 "
        "(between 0.55 and 0.66). Revenue (365 days) alone does it better: 0.84.",
    ),
    (
        lambda: findings.state_proof(f.PROOF.iloc[[0, 2]]),
        "The rating of the time orders 900 partners by revenue of the following year with a rank correlation of 0.61 "
        "(between 0.55 and 0.66). That is better than days since the last sale alone.",
    ),
    (
        lambda: findings.state_steadiness(f.STEADINESS),
        "Within a month partners move by 2% of the list on average, and by 0.4% if every number is 1% off. Dropping a "
        "partner changes the score of no other.",
    ),
    (
        lambda: findings.state_tier_proof(f.TIER_PROOF, currency="EUR"),
        "The better the tier, the better the year after: EUR 50 000 in gold, EUR 20 000 in silver.",
    ),
    (
        lambda: findings.state_rating_models(f.RATING_MODELS),
        "Weights by what came of it would order next year's revenue better (0.8) than those in use, stated weights "
        "(0.61).",
    ),
    (
        lambda: findings.state_rating_models(f.RATING_MODELS.iloc[[0, 2]]),
        "Of 2 ways of weighting the one in use, stated weights, orders next year's revenue best.",
    ),
    (
        lambda: findings.state_fairness(f.FAIRNESS),
        "By region, Київ gets 10.2 points fewer than others who do as well.",
    ),
    (
        lambda: findings.state_fairness(f.FAIRNESS.iloc[[0, 2]]),
        "None of 1 groups of partners gets clearly more or fewer points than others who do as well.",
    ),
    (
        lambda: findings.state_tier_changes(f.TIER_CHANGES, partners=40),
        "Within a year 1 rose and 1 fell, of 40 partners with a rating.",
    ),
    (
        lambda: findings.state_economics(f.ECONOMICS, currency="EUR"),
        "Privileges cost EUR 26 000 a year, against a margin of EUR 160 000; after them gold brings most: EUR 80 000.",
    ),
    (
        lambda: findings.state_what_if(f.WHAT_IF, currency="EUR"),
        "With thresholds 2 points lower 25 partners would rise, and privileges would cost EUR 4 000 more a year.",
    ),
    (
        lambda: findings.state_advice(
            pd.DataFrame(
                {
                    "name": ["Far", "Near", "Never"],
                    "next_tier": ["gold", "silver", "gold"],
                    "points_missing": [4.0, 2.0, 1.0],
                    "reachable": [True, True, False],
                }
            )
        ),
        "2 of 3 partners close below a tier could reach it with a few changes; closest is Near, 2 points below silver.",
    ),
    (
        lambda: findings.state_aside(
            pd.DataFrame({"table": ["sales", "touches"], "reason": ["no such date", "no partner"], "rows": [3, 9]})
        ),
        "We set 12 rows aside; the most frequent reason, 9 times in contacts: no partner.",
    ),
    (
        lambda: findings.state_experiments(
            pd.DataFrame({"experiment": ["call", "call"], "variant": ["a", "b"], "n": [20, 21]})
        ),
        "1 experiment with 2 variants and 41 partners on record.",
    ),
]


@pytest.mark.parametrize(("state", "sentence"), EXPECTED)
def test_findings_say_the_number_the_interval_and_the_comparison(state, sentence):
    assert state().replace("\u202f", " ").replace("\u00a0", " ") == sentence


NOTHING = [
    lambda: findings.state_map(f.SIZES, evidence=NOT_FOUND),
    lambda: findings.state_differences(f.PROFILE.head(1)),
    lambda: findings.state_differences(f.PROFILE.assign(differs="")),
    lambda: findings.state_typical(f.PROFILE.head(1), column="recency_days"),
    lambda: findings.state_typical(f.PROFILE, column=""),
    lambda: findings.state_exemplars(f.EXEMPLARS.head(0)),
    lambda: findings.state_membership(f.MEMBERS.assign(probability=1.0)),
    lambda: findings.state_membership(f.MEMBERS.head(0)),
    lambda: findings.state_questions(f.QUESTIONS.head(0)),
    lambda: findings.state_criteria_segments(f.CRITERIA_SEGMENTS.head(0), by=["partner_type"]),
    lambda: findings.state_potential(f.POTENTIAL.tail(1), currency="EUR"),
    lambda: findings.state_moves(pd.DataFrame({"a_year_ago": []})),
    lambda: findings.state_lineage(f.LINEAGE.head(0), INCOMPARABLE),
    lambda: findings.state_movers(f.MEMBERS.tail(1)),
    lambda: findings.state_drift(f.DRIFT.head(0), INCOMPARABLE),
    lambda: findings.state_ledger(f.LEDGER.head(0)),
    lambda: findings.state_freshness(f.FRESHNESS.tail(1), as_of=f.AS_OF),
    lambda: findings.state_coverage(f.COVERAGE.tail(1)),
    lambda: findings.state_segments(f.SIZES.head(0), evidence=FOUND),
    lambda: findings.state_sizes(f.SIZES.head(0), f.SIZES, region="north"),
    lambda: findings.state_criteria(f.CRITERIA.tail(1), criterion="partner_type"),
    lambda: findings.state_tiers(f.TIERS.tail(1)),
    lambda: findings.state_factor_contributions(f.CONTRIBUTIONS.tail(1)),
    lambda: findings.state_rank_intervals(f.RANKS.tail(1)),
    lambda: findings.state_stages(f.CURRENT.head(0)),
    lambda: findings.state_conversion(f.CONVERSION.tail(1), horizon_days=90),
    lambda: findings.state_time_in_stage(f.TIMES.head(0)),
    lambda: findings.state_bottlenecks(f.BOTTLENECKS.head(0), currency="EUR"),
    lambda: findings.state_plan(f.PLAN.tail(1), currency="EUR"),
    lambda: findings.state_metric(f.METRICS, metric="nps"),
    lambda: findings.state_metric_by_group(f.METRICS.assign(value=f.NAN), metric="revenue_per_partner", by="region"),
    lambda: findings.state_metric_trend(f.TREND.head(1), metric="nps", unit="points"),
    lambda: findings.state_moves(pd.DataFrame({"a year ago": ["A"], "A": [0]})),
    lambda: findings.state_sizes(f.SIZES.head(1), f.SIZES, region="all"),
    lambda: findings.state_profile(pd.DataFrame({"name": ["All"], "stability": [1.0]})),
    lambda: findings.state_metric_by_group(f.METRICS.head(1), metric="revenue_per_partner", by="region"),
    lambda: findings.state_proof(f.PROOF.head(0)),
    lambda: findings.state_steadiness(f.STEADINESS.head(0)),
    lambda: findings.state_rating_models(f.RATING_MODELS.head(1)),
    lambda: findings.state_tier_proof(f.TIER_PROOF.head(1), currency="EUR"),
    lambda: findings.state_fairness(f.FAIRNESS.tail(1)),
    lambda: findings.state_economics(f.ECONOMICS.head(0), currency="EUR"),
    lambda: findings.state_what_if(f.WHAT_IF.head(0), currency="EUR"),
    lambda: findings.state_advice(pd.DataFrame(columns=["name", "next_tier", "points_missing", "reachable"])),
    lambda: findings.state_experiments(pd.DataFrame(columns=["experiment", "variant", "n"])),
]


@pytest.mark.parametrize("state", NOTHING)
def test_where_nothing_can_be_said_the_finding_says_so(state):
    sentence = state()
    assert not findings.is_known(sentence)
    assert "nan" not in sentence.split()


def test_every_finding_is_tested_here():
    named = {name for name, _ in inspect.getmembers(findings, inspect.isfunction) if name.startswith("state_")}
    tested = {name for state, _ in EXPECTED for name in state.__code__.co_names if name.startswith("state_")}
    assert named == tested
