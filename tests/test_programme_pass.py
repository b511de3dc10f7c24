from pathlib import Path

import pandas as pd
import pytest

import partnerseg as ps
from partnerseg import programme_pass
from partnerseg.programme.simulate import simulate_programme, write_sample

ROOT = Path(__file__).parents[1]


def make_programme(home: Path, n_partners: int = 150) -> Path:
    """A folder of parameters for a small sample programme, its raw files beside it."""
    write_sample(simulate_programme(n_partners, random_state=3), home / "data" / "raw" / "sample")
    params = home / "params"
    (params / "regions").mkdir(parents=True)
    (params / "sources").mkdir()
    (params / "programme.yaml").write_text(
        f"extends: {ROOT / 'params' / 'programme.yaml'}\nprogramme: {{data_dir: ../data}}\n", encoding="utf-8"
    )
    for code in ("north", "Київ"):
        own = f"region: {code}\nregion_name: {code.title()}\nbatch: {{cell_timeout: 700}}\nreport: {{language: en}}\n"
        (params / "regions" / f"{code}.yaml").write_text(own, encoding="utf-8")
    (params / "sources" / "sample.yaml").write_bytes((ROOT / "params" / "sources" / "sample.yaml").read_bytes())
    return params


@pytest.fixture(scope="module")
def params_dir(tmp_path_factory) -> Path:
    return make_programme(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def models(params_dir) -> programme_pass.Models:
    return ps.open_models(params_dir, progress=lambda step: None)


def test_models_are_fitted_once_and_then_loaded(params_dir, models):
    steps = []
    again = ps.open_models(params_dir, progress=steps.append)
    assert steps == []
    pd.testing.assert_frame_equal(again.partners, models.partners)


def test_a_killed_pass_goes_on_with_the_step_that_was_not_finished(params_dir, models):
    before = models.table("partners", region="all")
    (models.directory / "complete.json").unlink()
    for path in (models.directory / "results").iterdir():
        path.unlink()
    (models.directory / "results").rmdir()
    (models.directory / ".results.part").mkdir()  # what a killed step leaves
    (models.directory / ".results.part" / "partners.parquet").write_bytes(b"half a file")
    steps = []
    again = ps.open_models(params_dir, progress=steps.append)
    assert steps == ["results"]
    pd.testing.assert_frame_equal(again.table("partners", region="all"), before)


def test_a_region_sees_its_rows_of_the_programme_to_the_last_bit(params_dir, models):
    whole = models.table("partners")
    assert len(whole) == 150
    for code in ("north", "Київ"):
        own = ps.open_models(params_dir, region=code).partners
        assert 0 < len(own) < 150
        assert set(own["region"]) == {code}
        pd.testing.assert_frame_equal(own, whole.loc[own.index], check_exact=True)


@pytest.mark.parametrize("code", ["north", "south", "west", "Київ"])
def test_applying_the_models_to_a_region_alone_gives_the_frozen_results(models, code):
    features, frozen = models.table("features", region=code), models.table("partners", region=code)
    assert len(features) > 5
    rating, segmenter = models.rating, models.segmenter
    scores = rating.score(features)
    for column in ("score", "coverage"):
        pd.testing.assert_series_equal(scores[column], frozen[column], check_exact=True)
    settings, history = models.params.rating, models.history
    own = history[history.index.get_level_values("partner_id").isin(features.index)]
    followed = ps.follow_tiers(
        rating.score(own)["score"],
        thresholds=rating.tier_thresholds_,
        hysteresis=settings.hysteresis,
        grace_days=settings.grace_days,
        min_tenure_days=settings.min_tenure_days,
        joined_at=models.programme.frame("partners").set_index("partner_id")["joined_at"],
    )
    tiers = followed.loc[models.params.programme.as_of, "tier"].reindex(features.index)
    assert tiers.astype(object).fillna("").tolist() == frozen["tier"].astype(object).fillna("").tolist()
    contributions = models.table("contributions", region=code).drop(columns="region")
    pd.testing.assert_frame_equal(rating.contributions(features), contributions, check_exact=True)
    assert (segmenter.predict(features).to_numpy() == frozen["likely_segment"].to_numpy()).all()
    assert (segmenter.predict_proba(features).max(axis=1).to_numpy() == frozen["probability"].to_numpy()).all()
    assert (segmenter.transform(features).to_numpy() == frozen[["x", "y"]].to_numpy()).all()


def test_who_refused_gets_no_step_and_no_advice(models):
    consents = models.programme.frame("consents").sort_values("changed_at", kind="stable")
    latest = consents[consents["changed_at"] < "2026-07-01"].groupby(["partner_id", "purpose"])["granted"].last()
    refusing = set(latest[~latest.astype(bool)].index.get_level_values("partner_id"))
    assert len(refusing) > 5
    assert not refusing & set(models.table("plan").index)
    assert not refusing & set(models.table("advice").index)
    assert not refusing & set(models.table("questions").index)
    assert len(models.table("advice"))


def test_a_programme_younger_than_a_year_has_no_year_before(tmp_path):
    params = make_programme(tmp_path, n_partners=120)
    path = tmp_path / "data" / "raw" / "sample" / "partners.csv"
    partners = pd.read_csv(path, dtype=str, keep_default_na=False)
    partners.assign(joined_at="2025-09-22T00:00:00Z").to_csv(path, index=False)
    models = ps.open_models(params, progress=lambda step: None)
    assert len(models.partners) == 120
    assert models.partners["segment_before"].isna().all()
    assert models.partners["tier_before"].isna().all()
    assert models.segmenter_before is None
    assert models.table("year_before")["partners"].item() == 0
    assert models.table("year_before")["why_not"].item()
    assert models.table("moves").empty
    assert models.table("lineage").empty
    assert models.table("drift").empty
    with pytest.raises(ValueError, match="no partner had joined by then"):
        ps.open_models(params, as_of="2020-01-01", progress=lambda step: None)


def test_a_region_run_never_fits(params_dir, models, monkeypatch):
    monkeypatch.setenv(programme_pass.FROZEN, "1")
    assert len(ps.open_models(params_dir).partners) == 150
    with pytest.raises(RuntimeError, match="run it again"):
        ps.open_models(params_dir, as_of="2026-03-31")


def test_key_follows_parameters_and_data_but_not_regions_pages(params_dir, models, tmp_path):
    key = programme_pass.models_key(ps.load_params(params_dir))
    assert programme_pass.models_key(ps.load_params(params_dir, region="north")) == key
    assert programme_pass.models_key(ps.load_params(params_dir, as_of="2026-03-31")) != key
    other = make_programme(tmp_path, n_partners=100)
    assert programme_pass.models_key(ps.load_params(other)) != key


def test_unknown_table_tells_the_known_ones(models):
    with pytest.raises(KeyError, match="partners"):
        models.table("partner")


def test_result_tables_are_consistent(models):
    partners = models.partners
    assert models.table("stages")["partner_id"].isin(partners.index).all()
    ledger = models.table("ledger")
    parts = ledger[["used", "quarantined", "deduplicated", "out_of_scope"]].sum(axis=1)
    assert (ledger["rows_in"] == parts).all()
    contributions = models.table("contributions").drop(columns="region")
    gap = contributions.sum(axis=1, min_count=1) - partners["score"]
    assert gap.abs().max() < 1e-9
    revenue = models.table("metrics", every=True).query("metric == 'revenue'").set_index("region")["value"]
    sales, end = models.programme.frame("sales"), pd.Timestamp("2026-07-01")
    known = sales[(sales["sold_at"] < end) & ~(sales["arrived_at"] >= end)]
    last_year = known[known["sold_at"] >= end - pd.Timedelta(days=365)]
    assert revenue["all"] == pytest.approx(last_year["amount"].sum())
    assert models.summaries.loc["all", "partners"] == len(partners)


def test_every_segment_table_of_a_region_is_its_part_of_the_programme(models):
    partners = models.partners
    codes = sorted(partners["region"].unique())
    assert len(codes) == 4
    whole = models.table("criteria_segments").set_index("segment")
    parts = pd.concat([models.table("criteria_segments", region=code) for code in codes])
    pd.testing.assert_series_equal(parts.groupby("segment")["n"].sum(), whole["n"].sort_index(), check_names=False)
    assert parts["revenue"].sum() == pytest.approx(partners["monetary_value_365d"].sum())
    assert (partners["criteria_segment"].value_counts().sort_index() == whole["n"].sort_index()).all()
    for code in codes:
        own = partners[partners["region"] == code]
        assert models.table("potential", region=code).set_index("partner_type").loc["all", "n"] == len(own)
        assert set(models.table("exemplars", region=code)["partner_id"]) <= set(own.index)
        assert set(models.table("questions", region=code).index) <= set(own.index)
        assert models.table("questions", region=code).index.nunique() <= 10
        moves = models.table("moves", region=code)
        if len(moves):
            counts = moves.set_index("a_year_ago").drop(columns="region")
            assert counts.to_numpy().sum() == len(own)
            assert counts.loc["joined"].sum() == own["segment_before"].isna().sum()


def test_partners_know_their_potential_and_what_they_are_expected_to_sell(models):
    partners = models.partners
    known = partners.dropna(subset=["potential_value", "forecast_value", "headroom"])
    assert len(known) > 50
    for name in ("potential", "forecast"):
        assert known[f"{name}_low"].le(known[f"{name}_high"]).all()
    gap = known["potential_value"] - known["monetary_value_365d"]
    assert (known["headroom"] - gap.clip(lower=0)).abs().max() < 1e-6
    sold = set(models.programme.frame("sales").query("sold_at < '2026-07-01'")["partner_id"])
    assert set(partners.index[partners["forecast_value"].notna()]) <= sold
