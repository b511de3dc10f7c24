"""Every feature is registered, told and built."""

import ibis
import numpy as np
import pandas as pd
import pytest

from partnerseg.features import build
from partnerseg.features.build import build_features
from partnerseg.features.catalogue import FAMILIES, FEATURES, RATING_ONLY, describe_features, list_counts
from partnerseg.features.events import ASSESSED, SOURCES
from partnerseg.features.feature import REGISTRY, feature
from partnerseg.features.windows import Events
from partnerseg.programme.simulate import simulate_programme
from partnerseg.programme.sources import as_connection
from partnerseg.programme.tables import TABLES

# Columns that ratings, segments, journeys and notebooks count on.
FIXED = [
    "monetary_value_30d", "monetary_value_90d", "monetary_value_365d", "frequency_30d", "frequency_90d",
    "frequency_365d", "average_order_value_365d", "return_rate_365d", "discount_365d", "products_365d",
    "monthly_variation_365d", "active_months_365d", "longest_gap_days_365d", "revenue_growth_90d",
    "revenue_growth_365d", "recency_days", "tenure_days", "first_sale_days", "countries_365d",
    "effective_countries_365d", "customers_90d", "customers_365d", "new_customers_90d", "new_customers_365d",
    "repeat_rate_365d", "top_customer_share_365d", "touches_30d", "touches_90d", "touches_365d", "reply_rate_90d",
    "reply_rate_365d", "open_rate_365d", "attendances_365d", "visits_90d", "contact_recency_days", "trainings_365d",
    "certificates_in_force", "training_score_365d", "specialized_trainings_365d", "tickets_90d", "tickets_365d",
    "resolution_hours_365d", "on_time_rate_365d", "task_quality_365d", "ticket_csat_365d", "complaints_365d",
    "partner_nps_365d", "customer_nps_365d", "review_score_365d", "assessed_marketing_strategy",
    "assessed_content_uniqueness", "assessed_teamwork", "assessed_strategic_planning", "assessed_technical_equipment",
    "preferred_channels", "preferred_topics", "avoided", "declared_potential",
    "potential_reached_365d", "shrunk_variation_365d", "retained_customers_365d", "customer_lifetime_days",
    "new_deals_365d", "campaign_responses_365d", "campaign_conversion_365d", "established_countries_365d",
    "focused_trainings_365d", "certified_knowledge", "complaint_rate_365d",
    "response_hours_365d", "reopened_rate_365d", "joint_sales_365d", "conflicts_365d", "evidence_marketing_strategy",
    "evidence_content_uniqueness", "evidence_teamwork", "evidence_strategic_planning", "evidence_technical_equipment",
]  # fmt: skip


def test_fixed_columns_are_there():
    assert len(FIXED) >= 45
    assert set(FIXED) <= set(FEATURES)


def test_every_registered_feature_is_in_the_catalogue():
    made = {f"{name}_{factor}" for name in ("assessed", "evidence") for factor in ASSESSED}
    assert set(FEATURES) == set(REGISTRY) | made
    assert list(dict.fromkeys(feature.family for feature in FEATURES.values())) == [
        family.__name__.rpartition(".")[2] for family in FAMILIES
    ]


@pytest.fixture(scope="module")
def described() -> pd.DataFrame:
    return describe_features()


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_is_told_completely(described, name):
    told = described.loc[name]
    assert told["meaning"].endswith(".")
    assert told["unit"]
    assert told["missing"]
    assert told["direction"] in ("up", "down", "none")
    assert told["tables"]
    assert set(told["tables"].split(", ")) <= set(TABLES)
    for column in filter(None, told["columns"].split(", ")):
        table, _, plain = column.partition(".")
        assert not TABLES[table].column(plain).required
    if pd.notna(told["days"]):
        assert name.endswith(f"_{told['days']}d")


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    tables = simulate_programme(150, random_state=1).tables
    stages = tables["stages"]  # partners travel in the sample, their deals do not
    tables["stages"] = stages.assign(deal_id=np.where(stages.index % 2, stages.index.astype(str), None))
    return build_features(tables, "2026-06-30")


def test_every_feature_is_built_and_varies_in_the_sample_programme(features):
    assert features.columns.tolist()[-len(FEATURES) :] == list(FEATURES)
    assert (features[list(FEATURES)].dtypes == "float64").all()
    assert (features[list(FEATURES)].min() < features[list(FEATURES)].max()).all()


def test_rates_name_their_cases():
    assert list_counts() == {
        "return_rate_365d": "frequency_365d",
        "joint_sales_365d": "frequency_365d",
        "complaint_rate_365d": "frequency_365d",
        "repeat_rate_365d": "customers_365d",
        "retained_customers_365d": "former_customers_365d",
        "reply_rate_90d": "messages_90d",
        "reply_rate_365d": "messages_365d",
        "open_rate_365d": "messages_365d",
        "campaign_conversion_365d": "campaign_messages_365d",
        "on_time_rate_365d": "timed_tickets_365d",
        "reopened_rate_365d": "tasks_365d",
    }


@pytest.mark.parametrize("rate", list_counts())
def test_a_rate_is_a_share_of_its_cases(features, rate):
    """Of n cases a share is a whole number of nths, and without a case there is none."""
    cases = features[list_counts()[rate]]
    known = features[rate].notna()
    assert (known == (cases > 0)).all()
    below = known & (features[rate] < 1)  # a rate that is held at 1 has lost its numerator
    assert below.sum() > 50
    hits = (features[rate] * cases)[below]
    np.testing.assert_allclose(hits, hits.round(), atol=1e-9)


def test_segments_are_not_made_of_what_the_rating_counts():
    assert {"evidence_teamwork", "response_hours_365d", "tasks_365d", *list_counts()} - set(RATING_ONLY) == {
        "return_rate_365d", "repeat_rate_365d", "reply_rate_90d", "reply_rate_365d", "open_rate_365d",
        "on_time_rate_365d",
    }  # fmt: skip


def test_sources_use_columns_that_exist():
    for source in SOURCES.values():
        table = TABLES[source.table]
        names = {column.name for column in table.columns}
        assert {*source.keys.values()} <= names
        assert {source.time, source.known_at, source.expires, source.ages} <= {*names, ""}
        assert {source.counted, source.amount, source.net} <= {*source.measures, ""}


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'recency_days' is registered twice"):
        feature("recency_days", unit="days", direction="down", missing="never")(lambda events: None)


def test_wrong_questions_name_what_may_be_asked():
    events = Events()
    with pytest.raises(ValueError, match="nothing is called 'margin'; possible names: amount, gross"):
        events.sales.total("margin", 30)
    with pytest.raises(AttributeError, match=r"events\.sale: no such source; possible sources are: sales, touches"):
        events.sale.total("amount", 30)
    with pytest.raises(ValueError, match="'age': no such attribute"):
        events.partner("age")


def test_every_expression_compiles_for_spark(monkeypatch):
    """Ibis writes Spark's SQL without a cluster (its dialect of Databricks needs no package of Spark)."""
    compiled = []

    def watch(connection):
        create, fetch = connection.create_table, connection.to_pyarrow

        def create_table(name, expression, **options):
            compiled.append(ibis.to_sql(expression, dialect="databricks"))
            return create(name, expression, **options)

        def to_pyarrow(expression):
            compiled.append(ibis.to_sql(expression, dialect="databricks"))
            return fetch(expression)

        monkeypatch.setattr(connection, "create_table", create_table)
        monkeypatch.setattr(connection, "to_pyarrow", to_pyarrow)
        return connection

    monkeypatch.setattr(build, "as_connection", lambda data: watch(as_connection(data)))
    build_features(simulate_programme(100, random_state=1).tables, ["2026-05-31", "2026-06-30"])
    assert len(compiled) > 2 * len(SOURCES)
    assert all("SELECT" in text for text in compiled)
