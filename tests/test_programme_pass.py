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
        own = f"region: {code}\nregion_name: {code.title()}\nquality: {{min_group: 7}}\nreport: {{language: en}}\n"
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


def test_scoring_a_region_alone_gives_the_frozen_scores(models):
    features = models.table("features")
    own = features[features["region"] == "Київ"]
    alone = models.rating.score(own)["score"]
    pd.testing.assert_series_equal(alone, models.partners.loc[own.index, "score"], check_exact=True)


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
