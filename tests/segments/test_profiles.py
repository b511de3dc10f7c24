"""Names and profiles: said in words that hold, from numbers that were worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from partnerseg.segments.encoding import learn_encoding
from partnerseg.segments.profiles import name_segments, profile_segments

LABELS = np.repeat([0, 1, 2, -1], [6, 4, 4, 1])


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
        }
    )


def test_names_say_what_sets_a_segment_apart(frame):
    names = name_segments(frame, LABELS, learn_encoding(frame))
    assert names[0].startswith("Small resellers, ")
    assert "one country" in names[0]
    assert names[1].startswith("Large integrators, ")
    assert "frequent orders" in names[1]
    assert "high task quality" in names[2]
    assert "frequent orders" not in names[2]


def test_names_differ_even_if_the_segments_hardly_do():
    frame = pd.DataFrame({"a": np.arange(12.0)})
    names = name_segments(frame, np.tile([0, 1, 2], 4), learn_encoding(frame))
    assert len(set(names.values())) == 3


def test_profile_counts_everyone_and_shows_typical_values(frame):
    frame.loc[1, "frequency_365d"] = np.nan
    frame.loc[6:9, "task_quality_365d"] = np.nan
    encoding = learn_encoding(frame)
    names = name_segments(frame, LABELS, encoding)
    profile = profile_segments(frame, LABELS, names, pd.Series([0.9, 0.8, 0.7]), encoding)
    assert profile.index.tolist() == [0, 1, 2, -1]
    assert profile["n"].tolist() == [6, 4, 4, 1]
    assert profile["share"].sum() == pytest.approx(1)
    assert profile.loc[0, "coverage"] == pytest.approx(29 / 30)
    assert profile.loc[0, "frequency_365d"] == pytest.approx(2.1)  # median of 2.0, 2.2, 2.0, 2.1, 2.2
    assert np.isnan(profile.loc[1, "task_quality_365d"])
    assert profile.loc[1, "company_size"] == "large"
    assert profile.loc[-1, "name"] == "No segment"
    assert profile["stability"].tolist()[:3] == [0.9, 0.8, 0.7]
    assert np.isnan(profile.loc[-1, "stability"])
