"""Names and profiles: said in words that hold, from numbers that were worked out by hand."""

import re
from string import Formatter

import numpy as np
import pandas as pd
import pytest

from partnerseg.segments import profiles
from partnerseg.segments.encoding import learn_encoding
from partnerseg.segments.profiles import find_exemplars, find_traits, load_words, name_segments, profile_segments

LABELS = np.repeat([0, 1, 2, -1], [6, 4, 4, 1])
LANGUAGES = ("en", "uk", "ru")


@pytest.fixture
def frame():
    noise = np.tile([0.0, 0.1, 0.2], 5)
    return pd.DataFrame(
        {
            "frequency_365d": np.repeat([2.0, 50, 3, 10], [6, 4, 4, 1]) + noise,
            "effective_countries_365d": np.repeat([1.0, 8, 7.5, 4], [6, 4, 4, 1]) + noise,
            "task_quality_365d": np.repeat([50.0, 50, 90, 70], [6, 4, 4, 1]) + noise,
            "partner_type": np.repeat(["reseller", "integrator", "integrator", "agent"], [6, 4, 4, 1]),
            "company_size": np.repeat(["small", "large", "small", "small"], [6, 4, 4, 1]),
            "channels": [*[["email"]] * 5, None, *[["phone", "email"]] * 4, *[[]] * 4, ["phone"]],
            "monetary_value_365d": [10.0] * 5 + [np.nan] + [20.0] * 4 + [-5.0] * 4 + [5.0],
        }
    )


@pytest.fixture
def traits(frame):
    return find_traits(frame, LABELS, learn_encoding(frame))


def make_traits(*rows: tuple) -> pd.DataFrame:
    """Traits from segment, column, level, effect, measure, inside and, if any, repeats."""
    names = ["segment", "column", "level", "effect", "measure", "inside", "repeats"]
    return pd.DataFrame([(*row, None)[:7] for row in rows], columns=names)


def test_effects_are_differences_of_means_in_standard_deviations():
    # By hand: mean 7, deviations -5, -3, 1, 7: variance 21; inside 3 to outside 11. One of four with a: variance 3/16.
    frame = pd.DataFrame({"orders": [2.0, 4, 8, 14], "kind": ["a", "b", "b", "b"]})
    traits = find_traits(frame, np.array([0, 0, 1, -1]), learn_encoding(frame))
    first = traits[traits["segment"] == 0].set_index("column")
    assert first.loc["orders", "effect"] == pytest.approx(-8 / np.sqrt(21))
    assert first.loc["orders", ["level", "measure", "inside", "outside"]].tolist() == ["low", "median", 3.0, 11.0]
    assert first.loc["kind", "effect"] == pytest.approx(0.5 / np.sqrt(3 / 16))
    assert first.loc["kind", ["level", "measure", "inside", "outside"]].tolist() == ["a", "share", 0.5, 0.0]
    assert set(traits["segment"]) == {0, 1}


def test_traits_are_strongest_first_and_say_what_they_repeat(traits):
    for _, rows in traits.groupby("segment"):
        assert rows["effect"].abs().is_monotonic_decreasing
    assert (traits.loc[traits["measure"] == "share", "effect"] > 0).all()
    countries = traits[(traits["segment"] == 0) & (traits["column"] == "effective_countries_365d")]
    assert countries["repeats"].isna().all()
    orders = traits[(traits["segment"] == 1) & (traits["column"] == "frequency_365d")]
    assert orders["repeats"].tolist() == ["monetary_value_365d"]  # both high in segment 1: correlation 0.8
    channels = traits[(traits["segment"] == 1) & (traits["column"] == "channels")]
    assert channels["level"].tolist() == ["phone", "email"]
    assert channels["inside"].tolist() == [1.0, 1.0]
    assert channels["outside"].tolist() == [0.1, 0.5]


def test_no_trait_where_means_and_medians_disagree(traits):
    # A few others with 50 orders make the mean of segment 2 low, yet its median of 3.1 exceeds the others' 2.2.
    assert traits[(traits["segment"] == 2) & (traits["column"] == "frequency_365d")].empty
    told = traits[traits["measure"] != "share"]
    assert ((told["inside"] - told["outside"]) * told["effect"] >= 0).all()
    frame = pd.DataFrame({"a": [1.0] * 4 + [0.0] * 5 + [9.0] * 4})
    alone = find_traits(frame, np.repeat([0, 1], [4, 9]), learn_encoding(frame))
    assert alone["effect"].tolist() == [0.0, 0.0]
    assert alone["segment"].tolist() == [0, 1]


def test_a_segment_of_rare_levels_alone_has_a_row_and_a_name():
    frame = pd.DataFrame({"kind": ["a"] * 300 + ["b"] * 300 + ["c", "d", "e"]})
    traits = find_traits(frame, np.repeat([0, 1, 2], [300, 300, 3]), learn_encoding(frame))
    assert traits.loc[traits["segment"] == 2, "effect"].tolist() == [0.0]
    assert name_segments(traits)[2] == "Typical partners"


def test_ranks_of_ordered_columns_are_counted_from_their_lowest_level():
    sizes = pd.Categorical(["s"] * 5 + ["m"] + ["l"] * 6, ["s", "m", "l"], ordered=True)
    frame = pd.DataFrame({"size": sizes, "b": np.tile([0.0, 1.0], 6)})
    traits = find_traits(frame, np.repeat([0, 1], 6), learn_encoding(frame))
    rows = traits[traits["column"] == "size"]
    assert rows[["level", "measure", "inside", "outside"]].to_numpy().tolist() == [
        ["low", "rank", 0.0, 2.0],
        ["high", "rank", 2.0, 0.0],
    ]


def test_effects_ignore_units_giants_and_the_order_of_rows(frame):
    encoding = learn_encoding(frame)
    traits = find_traits(frame, LABELS, encoding)
    order = np.random.default_rng(0).permutation(len(frame))
    pd.testing.assert_frame_equal(find_traits(frame.iloc[order], LABELS[order], encoding), traits, check_exact=True)
    scaled = frame.assign(frequency_365d=frame["frequency_365d"] * 1000)
    again = find_traits(scaled, LABELS, learn_encoding(scaled))
    np.testing.assert_allclose(again["effect"], traits["effect"], atol=1e-8)
    rng = np.random.default_rng(0)
    revenue = np.exp(rng.normal(8, 1, 200))
    labels = np.repeat([0, 1], 100)
    revenue[150:152] = 1e12
    giants = pd.DataFrame({"revenue": revenue, "b": rng.normal(size=200)})
    assert (find_traits(giants, labels, learn_encoding(giants))["effect"].abs() < 0.4).all()


def test_traits_survive_parquet(traits, tmp_path):
    traits.to_parquet(tmp_path / "traits.parquet")
    again = pd.read_parquet(tmp_path / "traits.parquet")
    pd.testing.assert_frame_equal(again, traits)
    assert name_segments(again) == name_segments(traits)


def test_names_say_what_sets_a_segment_apart(traits):
    names = name_segments(traits)
    assert names[0].startswith("Small resellers, one country, ")
    assert names[1].startswith("Large integrators, high revenue, ")
    assert names[2].startswith("Small integrators, low revenue, ")


def test_names_in_each_language():
    traits = make_traits(
        (0, "partner_type", "Integrator", 1.5, "share", 0.8),
        (0, "company_size", "large", 1.2, "share", 0.6),
        (0, "monthly_variation_365d", "low", -1.1, "median", 0.4),
        (0, "effective_countries_365d", "low", -0.9, "median", 1.1),
        (1, "industry", "retail", 1.0, "share", 0.7),
        (1, "region", "Київ", 0.9, "share", 0.7),
    )
    assert name_segments(traits) == {0: "Large integrators, steady, one country", 1: "Partners, retail, region Київ"}
    assert name_segments(traits, "uk") == {
        0: "Великі інтегратори, стабільні продажі, одна країна",
        1: "Партнери, галузь: роздрібна торгівля, регіон: Київ",
    }
    assert name_segments(traits, "ru") == {
        0: "Крупные интеграторы, стабильные продажи, одна страна",
        1: "Партнёры, отрасль: розничная торговля, регион: Київ",
    }


def test_what_can_be_pictured_comes_first_when_about_as_strong():
    rows = [(1, "x", "high", 1.0, "median", 1.0), (0, "visits_90d", "high", 1.2, "median", 9.0)]
    revenue = (0, "monetary_value_365d", "high", 0.9, "median", 9.0)
    assert name_segments(make_traits(*rows, revenue))[0] == "Partners, high revenue, many portal visits"
    weaker = (0, "monetary_value_365d", "high", 0.7, "median", 9.0)
    assert name_segments(make_traits(*rows, weaker))[0] == "Partners, many portal visits, high revenue"


@pytest.mark.parametrize(
    ("column", "level", "inside", "words"),
    [
        ("effective_countries_365d", "low", 1.2, "one country"),
        ("effective_countries_365d", "low", 2.5, "few countries"),
        ("revenue_growth_90d", "high", 0.3, "growing"),
        ("revenue_growth_90d", "high", -0.1, "more growth"),
        ("revenue_growth_365d", "low", -0.3, "shrinking"),
        ("revenue_growth_365d", "low", 0.1, "less growth"),
        ("avoided", "low", 0.0, "nothing to avoid"),
        ("avoided", "low", 1.0, "little to avoid"),
    ],
)
def test_words_are_literally_true(column, level, inside, words):
    effect = 1.0 if level == "high" else -1.0
    traits = make_traits((0, column, level, effect, "median", inside), (1, "x", "high", 1.0, "median", 1.0))
    assert name_segments(traits)[0] == f"Partners, {words}"


def test_a_name_leaves_out_what_is_slight_repeated_or_true_of_a_minority():
    traits = make_traits(
        (0, "visits_90d", "high", 0.9, "median", 1.0),
        (0, "touches_90d", "high", 0.8, "median", 1.0, "visits_90d"),
        (0, "country", "DE", 0.8, "share", 0.4),
        (0, "partner_type", "agent", 1.0, "share", 0.5),
        (0, "tickets_90d", "low", -0.49, "median", 1.0),
        (1, "visits_90d", "low", -0.9, "median", 1.0),
    )
    assert name_segments(traits)[0] == "Partners, many portal visits"


def test_a_trait_of_two_windows_is_told_once():
    rows = [(0, f"monetary_value_{days}d", "high", 1.0, "median", 1.0) for days in (30, 90, 365)]
    assert name_segments(make_traits(*rows, (1, "x", "low", -1.0, "median", 0.0)))[0] == "Partners, high revenue"


@pytest.mark.parametrize(
    ("language", "countries", "customers", "tickets"),
    [
        ("en", "one country", "many customers", "few tickets"),
        ("uk", "одна країна", "багато клієнтів", "мало звернень"),
        ("ru", "одна страна", "много клиентов", "мало обращений"),
    ],
)
def test_a_name_does_not_contradict_itself(language, countries, customers, tickets):
    rows = [
        ("effective_countries_365d", "low", -2.0, "median", 1.2),
        ("countries_365d", "high", 1.9, "median", 5.0),
        ("customers_365d", "high", 1.2, "median", 80.0),
        ("customers_90d", "low", -1.1, "median", 2.0),
        ("new_customers_90d", "low", -1.0, "median", 0.0),
        ("tickets_90d", "low", -0.9, "median", 0.0),
    ]
    # The same in two segments, so that the names tell all they can.
    traits = make_traits(*[(segment, *row) for segment in (0, 1) for row in rows])
    names = name_segments(traits, language)
    nouns = load_words(language)["partners"].capitalize()
    assert names[0] == f"{nouns}, {countries}, {customers}, {tickets} (1)"


def test_levels_of_a_list_are_told_beside_each_other():
    rows = [("channels", "email", 1.2, "share", 0.9), ("channels", "phone", 1.1, "share", 0.8)]
    traits = make_traits(*[(0, *row) for row in rows], (1, "x", "low", -1.0, "median", 0.0))
    assert name_segments(traits)[0] == "Partners, channels: email, channels: phone"


def test_every_kindred_column_has_words():
    assert set().union(*profiles.KINDRED) <= set(load_words("en")["columns"])


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("en", "Broker partners, high repair hours", "Partners"),
        ("uk", "Партнери типу «broker», високий показник «repair hours»", "Партнери"),
        ("ru", "Партнёры типа «broker», высокий показатель «repair hours»", "Партнёры"),
    ],
)
def test_what_has_no_words_reads_as_the_column_in_every_language(language, first, second):
    traits = make_traits(
        (0, "partner_type", "broker", 1.5, "share", 0.8),
        (0, "repair_hours_30d", "high", 1.1, "median", 0.4),
        (1, "favorite_color", "red", 1.5, "share", 0.8),
        (1, "company_size", "xxl", 1.2, "share", 0.6),
    )
    assert name_segments(traits, language) == {0: first, 1: f"{second}, company size: xxl, favorite color: red"}


def test_equal_names_get_more_traits_or_a_number():
    both = [("visits_90d", 1.3), ("tickets_90d", 1.2)]
    rows = [(segment, name, "high", effect, "median", 1.0) for segment in (0, 1, 2) for name, effect in both]
    rows += [(segment, "trainings_90d", "high", 1.0, "median", 1.0) for segment in (1, 2)]
    names = name_segments(make_traits(*rows))
    assert names[0] == "Partners, many portal visits, many tickets"
    assert names[1] == "Partners, many portal visits, many tickets, much training (1)"
    assert names[2] == "Partners, many portal visits, many tickets, much training (2)"


def test_segments_that_hardly_differ_are_typical_and_their_names_differ():
    frame = pd.DataFrame({"a": np.arange(12.0)})
    names = name_segments(find_traits(frame, np.tile([0, 1, 2], 4), learn_encoding(frame)))
    assert names == {0: "Typical partners (1)", 1: "Typical partners (2)", 2: "Typical partners (3)"}


@pytest.mark.parametrize("labels", [np.zeros(12, int), np.r_[np.zeros(11, int), -1]])
def test_a_single_segment_is_all_partners(labels):
    frame = pd.DataFrame({"a": np.arange(12.0)})
    traits = find_traits(frame, labels, learn_encoding(frame))
    assert name_segments(traits) == {0: "All partners"}
    assert name_segments(traits, "uk") == {0: "Усі партнери"}


def list_keys(words: object, path: tuple = ()) -> set[tuple]:
    """Return every place in a file of words, with the placeholders that its text has."""
    if isinstance(words, dict):
        return {key for name, value in words.items() for key in list_keys(value, (*path, name))}
    if isinstance(words, list):
        assert len(words) == 2, path
        return {key for place, value in enumerate(words) for key in list_keys(value, (*path, place))}
    assert isinstance(words, str)
    assert words, path
    return {(*path, *sorted(name for _, name, _, _ in Formatter().parse(words) if name))}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_words(language):
    assert list_keys(load_words(language)) == list_keys(load_words("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_written_in_the_letters_of_their_language(language):
    foreign = re.compile("[а-яёіїєґ]" if language == "en" else "[a-z]" + ("|[ыэъё]" if language == "uk" else "|[іїєґ]"))
    for *_, text in list_texts(load_words(language)):
        assert not foreign.search(re.sub(r"\{\w+\}", "", text).casefold()), text


def list_texts(words: object) -> list[tuple[str]]:
    if isinstance(words, str):
        return [(words,)]
    return [text for value in (words.values() if isinstance(words, dict) else words) for text in list_texts(value)]


def test_sizes_are_plural_adjectives():
    # Nominative plural: uk -і, ru -ые or -ие; they stand before plural nouns of any gender.
    assert all(word.endswith("і") for word in load_words("uk")["sizes"].values())
    assert all(word.endswith(("ые", "ие")) for word in load_words("ru")["sizes"].values())
    assert all(word.split()[0].endswith(("и", "і")) for word in load_words("uk")["kinds"].values())
    assert all(word.split()[0].endswith(("ы", "и", "ие", "ые")) for word in load_words("ru")["kinds"].values())


def test_every_claim_has_relative_words_too():
    for language in LANGUAGES:
        words = load_words(language)
        assert set(words["claims"]) == set(profiles.CLAIMS)
        assert set(words["claims"]) <= set(words["columns"])


def test_unknown_language_names_the_known_ones_and_the_key():
    with pytest.raises(ValueError, match=r"'xx', must be one of en, ru, uk: see report\.language"):
        load_words("xx")


def profile(frame, traits, **more):
    names = name_segments(traits)
    return profile_segments(
        frame, LABELS, names, pd.Series([0.9, 0.8, 0.7]), learn_encoding(frame), traits=traits, **more
    )


def test_profile_counts_everyone_and_shows_typical_values(frame, traits):
    frame = frame.drop(columns=["channels", "monetary_value_365d"])
    frame.loc[1, "frequency_365d"] = np.nan
    frame.loc[6:9, "task_quality_365d"] = np.nan
    found = profile(frame, traits)
    assert found.index.tolist() == [0, 1, 2, -1]
    assert found["n"].tolist() == [6, 4, 4, 1]
    assert found["share"].sum() == pytest.approx(1, abs=1e-12)
    assert found.loc[0, "coverage"] == pytest.approx(29 / 30)
    assert found.loc[0, "frequency_365d"] == pytest.approx(2.1)  # median of 2.0, 2.2, 2.0, 2.1, 2.2
    assert np.isnan(found.loc[1, "task_quality_365d"])
    assert found.loc[1, "company_size"] == "large"
    assert found.loc[-1, "name"] == "No segment"
    assert found["stability"].tolist()[:3] == [0.9, 0.8, 0.7]
    assert np.isnan(found.loc[-1, "stability"])
    assert found["share_of_revenue"].isna().all()


def test_unknown_revenue_is_no_zero(frame, traits):
    # 5 x 10 known, 4 x 20, 4 x -5, 5: 115 in all.
    found = profile(frame, traits)
    assert found["share_of_revenue"].tolist() == pytest.approx([50 / 115, 80 / 115, -20 / 115, 5 / 115])
    assert found["revenue_coverage"].tolist() == pytest.approx([5 / 6, 1, 1, 1])
    frame.loc[6:9, "monetary_value_365d"] = np.nan
    found = profile(frame, traits)
    assert found["share_of_revenue"].sum() == pytest.approx(1, abs=1e-12)
    assert np.isnan(found.loc[1, "share_of_revenue"])
    assert found.loc[1, "revenue_coverage"] == 0
    other = profile(frame.assign(turnover=1.0), traits, revenue="turnover")
    assert other["share_of_revenue"].tolist() == pytest.approx(other["share"].tolist())


def test_profile_says_how_segments_differ_in_the_asked_language(frame, traits):
    found = profile(frame, traits)
    assert "one country" in found.loc[0, "differs"].split("; ")
    assert found.loc[-1, "differs"] == ""
    assert "одна країна" in profile(frame, traits, language="uk").loc[0, "differs"].split("; ")
    assert profile(frame, traits, language="uk").loc[-1, "name"] == "Без сегмента"


def test_typical_lists_levels_and_columns_with_taken_names(frame, traits):
    sizes = pd.Categorical(frame["company_size"].replace("large", "big"), ["small", "big"], ordered=True)
    found = profile(frame.assign(company_size=sizes, share=np.arange(15.0)), traits)
    assert found["channels"].tolist() == ["email", "email; phone", "", "phone"]
    assert found["company_size"].tolist() == ["small", "big", "small", "small"]
    assert found["share"].tolist() == pytest.approx([6 / 15, 4 / 15, 4 / 15, 1 / 15])
    assert found["share_typical"].tolist() == [2.5, 7.5, 11.5, 14.0]


def test_exemplars_are_the_members_with_least_distance_to_all_others():
    rng = np.random.default_rng(0)
    coordinates, labels = rng.normal(size=(60, 3)), np.repeat([0, 1, -1], 20)
    found = find_exemplars(coordinates, labels, count=4)
    assert list(found) == [0, 1]
    for segment, members in found.items():
        rows = np.flatnonzero(labels == segment)
        apart = ((coordinates[rows, None] - coordinates[None, rows]) ** 2).sum(axis=(1, 2))
        assert members.tolist() == rows[np.argsort(apart)[:4]].tolist()


def test_exemplars_are_well_known_and_do_not_depend_on_order():
    coordinates = np.array([[0.0, 0.0], [0.0, np.nan], [0.0, 0.0], [1.0, 2.0], [-1.0, -2.0], [np.nan, np.nan]])
    ids = np.array(["f", "b", "c", "d", "e", "a"])
    found = find_exemplars(coordinates, np.zeros(6, int), index=ids)[0]
    # c and f are the mean and equal: the smaller id comes first; b lies there too as far as is known.
    assert found.tolist() == ["c", "f", "b"]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(6)
        again = find_exemplars(coordinates[order], np.zeros(6, int), index=ids[order])[0]
        assert again.tolist() == found.tolist()
    assert len(find_exemplars(coordinates, np.zeros(6, int), count=9)[0]) == 6
    # Known to be near beats known in one cell to be at the mean: an unknown cell costs the variance.
    partly = np.array([[0.0, np.nan], [0.1, 0.1], [2.0, 2.0], [-2.0, -2.0]])
    assert find_exemplars(partly, np.zeros(4, int), count=2)[0].tolist() == [1, 0]


def test_a_segment_without_members_has_no_exemplars():
    found = find_exemplars(np.array([[1.0], [0.0], [9.0]]), np.array([1, 1, 3]), index=["a", "b", "c"])
    assert {segment: members.tolist() for segment, members in found.items()} == {0: [], 1: ["a", "b"], 2: [], 3: ["c"]}
    assert find_exemplars(np.empty((0, 1)), np.array([], dtype=int)) == {}
