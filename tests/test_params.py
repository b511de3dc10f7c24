import copy
import pickle
from pathlib import Path

import pandas as pd
import pytest

from partnerseg.features.assessments import list_assessed
from partnerseg.features.catalogue import describe_features
from partnerseg.features.events import ASSESSED
from partnerseg.params import Params, ParamsError, load_params, read_yaml
from partnerseg.programme.tables import ASSESSORS
from partnerseg.rating.factors import read_factors

DEFAULTS = Path(__file__).parents[1] / "params"


def make_params(directory: Path, own: str = "", regions: dict[str, str] | None = None) -> Path:
    """A folder of parameters that extends the defaults by `own`, with region files by name."""
    (directory / "regions").mkdir(parents=True)
    (directory / "programme.yaml").write_text(f"extends: {DEFAULTS / 'programme.yaml'}\n{own}", encoding="utf-8")
    for name, text in (regions or {}).items():
        (directory / "regions" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return directory


def test_defaults_load_with_their_regions():
    params = load_params(DEFAULTS)
    assert params.region == "all"
    assert [region.code for region in params.regions] == ["north", "south", "west", "Київ"]
    assert len(params.rating.factors) == 15
    assert params.programme.data_dir == DEFAULTS.parent / "data"


def test_region_sees_its_own_values_and_the_rest(tmp_path):
    make_params(tmp_path / "p", regions={"a": "region: a\nbatch: {cell_timeout: 5}\n", "b": "region: b\n"})
    assert load_params(tmp_path / "p", region="a").batch.cell_timeout == 5
    assert load_params(tmp_path / "p", region="b").batch.cell_timeout == 600
    assert load_params(tmp_path / "p").batch.cell_timeout == 600


@pytest.mark.parametrize("code", ["NO", "010", "null", "yes", "off", "~x~"[1], "1e3", "0x1F", "Київ"])
def test_region_codes_stay_text(tmp_path, code):
    make_params(tmp_path / "p", regions={"one": f"region: {code}\n"})
    params = load_params(tmp_path / "p", region=code)
    assert params.region == code
    assert isinstance(params.region, str)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("quality: {max_bad_shar: 0.1}", ["quality.max_bad_shar", "did you mean 'max_bad_share'"]),
        ("qualty: {max_bad_share: 0.1}", ["qualty", "did you mean 'quality'"]),
        ("quality: 3", ["quality", "3", "section"]),
        ("quality: {max_bad_share: many}", ["quality.max_bad_share", "'many'", "a number"]),
        ("quality: {max_bad_share: 1.2}", ["quality.max_bad_share", "1.2", "at most 1"]),
        ("batch: {jobs: 0}", ["batch.jobs", "0", "at least 1"]),
        ("batch: {jobs: 2.5}", ["batch.jobs", "2.5", "whole number"]),
        ("batch: {jobs: true}", ["batch.jobs", "True", "whole number"]),
        ("programme: {name: 12}", ["programme.name", "12", "text"]),
        ("programme: {as_of: 2026-13-01}", ["programme.as_of", "2026-13-01", "YYYY-MM-DD"]),
        ("programme: {as_of: 30.06.2026}", ["programme.as_of", "30.06.2026", "YYYY-MM-DD"]),
        ("programme: {currency: euro}", ["programme.currency", "euro", "three capitals"]),
        ("programme: {rates: {USD: much}}", ["programme.rates.USD", "much", "a number"]),
        ("rating: {weighting: entropie}", ["rating.weighting", "entropie", "did you mean 'entropy'"]),
        ("rating: {tiers: 3}", ["rating.tiers", "names with number"]),
        ("rating: {factors: [{factor: x}]}", ["row 1", "rating.factors", "pillar is missing"]),
        ("rating: {aggregation: mean}", ["rating.aggregation", "'mean'", "arithmetic, geometric"]),
        ("rating: {grace_days: -1}", ["rating.grace_days", "-1", "at least 0"]),
        ("rating: {margin: 20.0}", ["rating.margin", "20.0", "at most 1"]),
        ("rating: {blend: {direct: half}}", ["rating.blend.direct", "'half'", "a number"]),
        ("rating: {judgments: [{better: a, worse: b}]}", ["row 1", "rating.judgments", "times is missing"]),
        (
            "rating: {judgments: [{better: geography, worse: sales_volum, times: 3}]}",
            ["row 1", "rating.judgments.worse", "did you mean 'sales_volume'"],
        ),
        (
            "rating: {judgments: [{better: geography, worse: teamwork, times: 0.2}]}",
            ["row 1", "rating.judgments.times", "0.2", "at least 1"],
        ),
        (
            "rating: {group_weights: [{group: agent, factor: teamwork, weight: heavy}]}",
            ["row 1", "rating.group_weights.weight", "'heavy'", "a number"],
        ),
        (
            "rating: {privileges: [{tier: golden, privilege: x, cost: 1.0}]}",
            ["row 1", "rating.privileges.tier", "did you mean 'gold'"],
        ),
        ("rating: {tiers: {vip: 0.5, others: 0.5}}", ["row 1", "rating.privileges.tier", "'platinum'", "rating.tiers"]),
        ("rating: {factors: 5}", ["rating.factors", "a list"]),
        ("rating: {bounds_quantiles: [a, 0.9]}", ["rating.bounds_quantiles", "'a'", "a number"]),
        ("rating: {bounds_quantiles: [0.9]}", ["rating.bounds_quantiles", "a list of 2"]),
        ("programme: {rates: {USD: -1.0}}", ["programme.rates.USD", "-1.0", "at least"]),
        ("programme: {rates: {usd: 1.1}}", ["programme.rates", "'usd'", "three capitals"]),
        ("effect: {conversion: [recruited]}", ["effect.conversion", "a list of 2"]),
        ("effect: {conversion: [recruited, activatd]}", ["effect.conversion", "did you mean 'activated'"]),
        ("effect: {window_days: 100000000}", ["effect.window_days", "at most 3650"]),
        ("journey: {stages: []}", ["journey.stages", "stages in order"]),
        ("journey: {stages: [a, b, a], target: a}", ["journey.stages", "no name twice"]),
        ("rating: {tiers: {gold: 0.5, silver: 0.4}}", ["rating.tiers", "sum to 1"]),
        ("rating: {evidence: {self: -0.1}}", ["rating.evidence.self", "at least 0"]),
        ("journey: {stages: [1]}", ["journey.stages", "1", "text"]),
        ("quality: {max_bad_share: 0.5}\nquality: {max_bad_share: 0.6}", ["line 3", "'quality' stands twice"]),
        ("quality: &a {max_bad_share: 0.5}", ["line 2", "anchor"]),
        ("quality: !!python/object:os.system {max_bad_share: 0.5}", ["line 2", "tag"]),
        ("quality: [unclosed", ["not YAML"]),
        ("extends: nowhere.yaml", ["'extends' stands twice"]),
    ],
)
def test_what_is_wrong_is_refused_with_file_key_value_and_rule(tmp_path, own, words):
    make_params(tmp_path / "p", own)
    with pytest.raises(ParamsError) as caught:
        load_params(tmp_path / "p")
    for word in ["programme.yaml", *words]:
        assert word in str(caught.value)


def test_factor_rows_are_checked(tmp_path):
    row = {"factor": "f", "pillar": "p", "weight": "1", "grade": "system", "window": "0", "normalization": "auto"}
    row |= {"features": "[a]", "direction": "[sideways]", "bounds": "[[]]", "unit": "[days]"}
    text = ", ".join(f"{key}: {value}" for key, value in row.items())
    make_params(tmp_path / "p", f"rating: {{factors: [{{{text}}}]}}")
    with pytest.raises(
        ParamsError, match=r"row 1: rating.factors.direction: 'sideways' must be one of up, down, target"
    ):
        load_params(tmp_path / "p")


def test_rows_of_an_empty_table_are_checked_and_kept(tmp_path):
    own = """rating:
  weighting: blend
  blend: {direct: 0.5, ahp: 0.5}
  judgments: [{better: sales_volume, worse: geography, times: 5}]
  group_weights: [{group: influencer, factor: content_uniqueness, weight: 12}]
  privileges: []
"""
    rating = load_params(make_params(tmp_path / "p", own)).rating
    assert rating.judgments[0].to_dict() == {"better": "sales_volume", "worse": "geography", "times": 5.0}
    assert rating.group_weights[0].weight == 12.0
    assert rating.blend.to_dict() == {"direct": 0.5, "ahp": 0.5}
    assert rating.privileges == ()
    (tmp_path / "q").mkdir()
    own = "rating: {privileges: [{tier: gold, privilege: x, cost: 1}]}"
    (tmp_path / "q" / "programme.yaml").write_text(f"extends: {tmp_path / 'p' / 'programme.yaml'}\n{own}\n")
    assert load_params(tmp_path / "q").rating.privileges[0].cost == 1.0  # the empty list still knows its rows


DESCRIBED = describe_features()


@pytest.mark.parametrize("row", load_params(DEFAULTS).rating.factors, ids=lambda row: row.factor)
def test_rows_of_factors_say_what_the_catalogue_says(row):
    features = DESCRIBED.loc[list(row.features)]
    assert list(row.unit) == features["unit"].tolist()
    assert row.window == features["days"].fillna(0).max()
    for stated, direction in zip(row.direction, features["direction"], strict=True):
        assert direction in (stated, "none")


def test_factors_read_as_a_rating_reads_them():
    rating = load_params(DEFAULTS).rating
    assert [factor.factor for factor in read_factors(rating.factors)] == [row.factor for row in rating.factors]
    assert rating.evidence.to_dict() == ASSESSORS
    assert list_assessed(rating.factors) == ASSESSED
    assert set(rating.tiers) == {row.tier for row in rating.privileges}
    cost = pd.Series({tier: sum(row.cost for row in rating.privileges if row.tier == tier) for tier in rating.tiers})
    assert cost.is_monotonic_decreasing  # a better tier is worth more


@pytest.mark.parametrize("example", ["online_retail", "crm_pipeline"])
def test_examples_load(example):
    params = load_params(DEFAULTS / "examples" / example)
    assert params.rating.factors == load_params(DEFAULTS).rating.factors
    assert 0.3 <= params.rating.min_coverage <= 0.4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch: {cell_timeout: 5}", "no code for a region"),
        ("region: all", "no code for a region"),
        ("region: ../x", "no code for a region"),
        ("region: a/b", "no code for a region"),
        ("region: ''", "no code for a region"),
        ("region: .hidden", "no code for a region"),
        ("region: 12", "must be text: write it in quotes"),
        ("region: index.html", "no code for a region"),
        ("region: Unknown", "no code for a region"),
        ("region: a\nrating: {min_coverage: 0.1}", "belongs to the whole programme"),
        ("region: a\nprogramme: {as_of: 2020-01-01}", "belongs to the whole programme"),
        ("region: a\nsize: 4", "there is no such parameter"),
    ],
)
def test_region_files_are_checked(tmp_path, text, words):
    make_params(tmp_path / "p", regions={"one": text})
    with pytest.raises(ParamsError, match=words) as caught:
        load_params(tmp_path / "p")
    assert "one.yaml" in str(caught.value)


def test_two_files_of_one_region_are_refused(tmp_path):
    make_params(tmp_path / "p", regions={"one": "region: North", "two": "region: north"})
    with pytest.raises(ParamsError, match="another file"):
        load_params(tmp_path / "p")


def test_unknown_region_names_the_nearest():
    with pytest.raises(ParamsError, match="did you mean 'north'"):
        load_params(DEFAULTS, region="nort")


def test_given_as_of_is_checked_and_wins_in_regions_too():
    assert load_params(DEFAULTS, region="north", as_of="2026-03-31").programme.as_of == "2026-03-31"
    with pytest.raises(ParamsError, match="YYYY-MM-DD"):
        load_params(DEFAULTS, as_of="yesterday")


def test_large_file_alias_and_binary_are_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: " + "x" * 65_536)
    with pytest.raises(ParamsError, match="at most 65,536"):
        read_yaml(path)
    path.write_text("a: &one [1]\nb: *one\n")
    with pytest.raises(ParamsError, match="refused"):
        read_yaml(path)
    path.write_text("a: !!binary aGk=\n")
    with pytest.raises(ParamsError, match="tag is refused"):
        read_yaml(path)
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ParamsError, match="UTF-8"):
        read_yaml(path)
    with pytest.raises(ParamsError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")


def test_params_do_not_change_and_survive_copying():
    params = load_params(DEFAULTS)
    with pytest.raises(AttributeError, match="do not change"):
        params.region = "north"
    with pytest.raises(AttributeError, match="did you mean 'rating'"):
        params.ratng  # noqa: B018
    assert copy.deepcopy(params) == params == pickle.loads(pickle.dumps(params))
    assert Params(params.to_dict()["rating"]) == params.rating


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hours": "-5"}, ["call", "actions.hours", "-5", "at least 0"]),
        ({"stages": "5"}, ["call", "actions.stages", "a list"]),
        ({"stagess": "[recruited]"}, ["call", "actions.stagess", "did you mean 'stages'"]),
        ({"text": "{en: {title: Call}}"}, ["call", "en", "instructions is missing"]),
        ({"text": "5"}, ["call", "text by language"]),
        ({"text": "{uk: {title: Дзвінок, instructions: Запитайте.}}"}, ["call", "text has uk", "must have en"]),
        ({"owner": None}, ["call", "owner is missing"]),
        ({"channels": "[]"}, ["call", "actions.channels", "[]", "at least one", "[phone]"]),
        ({"channels": "['phone, email']"}, ["call", "actions.channels", "'phone, email'", "without commas"]),
        ({"channels": "[' ']"}, ["call", "actions.channels", "' '", "one name"]),
        ({"topics": "[a;b]"}, ["call", "actions.topics", "'a;b'", "semicolons"]),
        ({"stages": "[recrutied]"}, ["call", "actions.stages", "'recrutied'", "did you mean 'recruited'"]),
        ({"default": "[onboarded]"}, ["call", "actions.default", "'onboarded'", "one of its stages"]),
    ],
)
def test_actions_are_checked(tmp_path, change, words):
    entry = {"stages": "[recruited]", "hours": "1", "cost": "0.5", "channels": "[phone]", "owner": "manager"}
    entry |= {"default": "[]", "text": "{en: {title: Call, instructions: Ask.}}"}
    params = make_params(tmp_path / "p")
    write = lambda lines: (params / "actions.yaml").write_text(  # noqa: E731
        "call:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items() if value is not None),
        encoding="utf-8",
    )
    write(entry)
    assert load_params(params).actions.call.hours == 1.0
    write(entry | change)
    with pytest.raises(ParamsError) as caught:
        load_params(params)
    for word in ["actions.yaml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["none", "None", "welcome call", "call,mail", "call;mail", "call\tback", ""])
def test_names_that_could_not_be_listed_or_mean_no_step_are_refused(tmp_path, name):
    params = make_params(tmp_path / "p")
    entry = "stages: [recruited], hours: 1, cost: 0, channels: [phone], owner: x, default: []"
    text = "text: {en: {title: Call, instructions: Ask.}}"
    (params / "actions.yaml").write_text(f"{name!r}: {{{entry}, {text}}}\n".replace("\\t", "\t"), encoding="utf-8")
    with pytest.raises(
        ParamsError, match="must be a word without spaces, commas and semicolons, and not 'none'"
    ) as caught:
        load_params(params)
    assert "actions.yaml" in str(caught.value) and repr(name) in str(caught.value) and "rename" in str(caught.value)


def test_actions_of_another_folder_may_be_for_other_stages(tmp_path):
    own = "journey: {stages: [a, b], exits: [], target: b, target_days: {}, rules: []}\neffect: {conversion: [a, b]}"
    params = load_params(make_params(tmp_path / "p", own))
    assert params.actions == load_params(DEFAULTS).actions and not {"a", "b"} & set(params.actions.welcome_call.stages)
