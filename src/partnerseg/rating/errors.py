"""How uncertain features are: what is expected behind an observed value, and its standard error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.features.assessments import PREFIX
from partnerseg.rating.factors import read_column

# Fewer rates, or pairs of assessments of the same partner and factor, tell nothing.
MIN_KNOWN = 30
BIN_DAYS = 30
PAIRS_APART = 12  # an assessment is paired with so many later ones of the same partner
RANGES = np.append(np.geomspace(30, 30_000, 91), np.inf)  # days
JITTER = 1e-6


@dataclass(frozen=True)
class Errors:
    """What stands behind observed features.

    Attributes:
        expected: Partners x features: the value expected behind the observed one, in the feature's unit; it lies
            between the observed value and the mean of all partners, the closer to the mean the less is known.
        standard_error: Partners x features: standard deviation of what is behind it around `expected`; missing
            where nothing tells how uncertain the feature is.
    """

    expected: pd.DataFrame
    standard_error: pd.DataFrame


@dataclass(frozen=True)
class AssessmentModel:
    """How assessments of one factor repeat.

    Attributes:
        means: Mean score of each assessor; their differences are taken for bias and removed.
        noise: Standard deviation of each assessor's noise, in points of 100; missing when never seen.
        signal: Standard deviation among partners of what is assessed, in points of 100.
        range_days: After so many days the correlation of a partner with itself has fallen to 1/e.
        pairs: Pairs of assessments it rests on.
    """

    means: pd.Series
    noise: pd.Series
    signal: float
    range_days: float
    pairs: int


def estimate_errors(
    features: pd.DataFrame,
    assessments: pd.DataFrame | None = None,
    *,
    as_of: Any = None,
    counts: Mapping[str, str] | None = None,
) -> Errors:
    """Estimate how uncertain features are, from the data alone.

    Rates out of a count have binomial noise around the partner's own rate, and those rates a beta distribution
    among partners (Kleinman 1973). Assessed factors (`assessed_<factor>`) are assessed again, by others and later:
    what two assessments of a partner share, by the time between them, tells what is lasting, how fast that drifts,
    and so how large the noise of each assessor is (`fit_assessments`); what is expected on the day is the best
    linear prediction from the latest score of each assessor. Other features get no error: what was counted or added up
    is what it is, and not a sample of something else.

    Args:
        features: One row a partner, index partner_id, one date; unknown is missing.
        assessments: The table `assessments`: partner_id, assessed_at, factor, score (0-100), assessor, and
            arrived_at where there is one. None: no errors for assessed factors.
        as_of: Day `YYYY-MM-DD` of the features, needed with `assessments`; what is known later is not used.
        counts: For each rate the feature that counts its cases, as from `features.catalogue.list_counts`; None: of no
            rate the cases are known, so that none gets an error.

    Returns:
        `Errors`, with a column for each feature about which something could be estimated.

    Raises:
        ValueError: `as_of` is missing, or a column of `assessments` is; or a score is text or infinite.

    References:
        Kleinman (1973), Proportions with extraneous variance: single and independent samples, JASA 68(341).
        Cressie (1993), Statistics for Spatial Data, Wiley, section 3.2 (simple kriging).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> n = rng.integers(1, 40, 500)
        >>> rate = rng.binomial(n, rng.beta(4, 4, 500)) / n
        >>> errors = estimate_errors(pd.DataFrame({"repeat_rate_365d": rate, "customers_365d": n}),
        ...                          counts={"repeat_rate_365d": "customers_365d"})
        >>> bool(errors.standard_error["repeat_rate_365d"][n == 1].mean() > 0.15)
        True
    """
    expected: dict[str, pd.Series] = {}
    error: dict[str, pd.Series] = {}
    for rate, count in (counts or {}).items():
        if rate in features.columns and count in features.columns:
            found = _estimate_rate(features[rate], features[count])
            if found is not None:
                expected[rate], error[rate] = found
    if assessments is not None:
        known = _read_assessments(assessments, as_of)
        for name in sorted(column for column in features.columns if str(column).startswith(PREFIX)):
            rows = _take_factor(known, name.removeprefix(PREFIX))
            model = fit_assessments(rows)
            if model is not None:
                expected[name], error[name] = _predict(rows, model, features[name])
    return Errors(pd.DataFrame(expected, index=features.index), pd.DataFrame(error, index=features.index))


def fit_assessments(rows: pd.DataFrame) -> AssessmentModel | None:
    """Separate noise, drift and lasting differences in repeated assessments of one factor.

    The product of two deviations of the same partner, each from its assessor's mean, is on average the covariance
    at the time between them, since noise is drawn anew each time. An exponential covariance is fitted to these by
    least squares; what an assessor's variance has more than its value at no lag is noise.

    Args:
        rows: Assessments of one factor: partner_id, day (a number of days), score, assessor.

    Returns:
        The model; None with fewer than 30 pairs, or when assessments of a partner share nothing.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> level = np.tile(rng.normal(50, 10, 1000), 2)
        >>> rows = pd.DataFrame({"partner_id": np.tile(np.arange(1000), 2), "day": np.repeat([0.0, 90], 1000),
        ...                      "score": level + rng.normal(0, 5, 2000), "assessor": "manager"})
        >>> model = fit_assessments(rows)
        >>> round(model.signal), round(model.noise["manager"])
        (10, 5)
    """
    rows = rows.sort_values(["partner_id", "day"], kind="stable")
    partner, day = pd.factorize(rows["partner_id"])[0], rows["day"].to_numpy(dtype=float)
    scores = rows.groupby("assessor")["score"]
    deviation = (rows["score"] - scores.transform("mean")).to_numpy(dtype=float)
    lags, products = [], []
    for apart in range(1, min(PAIRS_APART, len(rows) - 1) + 1):
        same = np.flatnonzero(partner[apart:] == partner[:-apart])
        lags.append(day[same + apart] - day[same])
        products.append(deviation[same + apart] * deviation[same])
    lag, product = np.concatenate([np.zeros(0), *lags]), np.concatenate([np.zeros(0), *products])
    if len(lag) < MIN_KNOWN:
        return None
    bins = (lag // BIN_DAYS).astype(np.int64)
    count = np.bincount(bins)
    used = count > 0
    count = count[used]
    center = np.bincount(bins, weights=lag)[used] / count
    mean = np.bincount(bins, weights=product)[used] / count
    decay = np.exp(-center[None, :] / RANGES[:, None])
    sill = np.maximum((count * decay * mean).sum(axis=1) / (count * decay**2).sum(axis=1), 0)
    loss = (count * (mean - sill[:, None] * decay) ** 2).sum(axis=1)
    # Of ranges that fit alike the longest: no drift is claimed without evidence.
    best = len(RANGES) - 1 - int(np.argmin(loss[::-1]))
    if not sill[best] > 0:
        return None
    variance = scores.var(ddof=1)
    return AssessmentModel(
        means=scores.mean(),
        noise=np.sqrt((variance - sill[best]).clip(lower=0.0)),
        signal=float(np.sqrt(sill[best])),
        range_days=float(RANGES[best]),
        pairs=len(lag),
    )


def _estimate_rate(rate: pd.Series, count: pd.Series) -> tuple[pd.Series, pd.Series] | None:
    """Posterior mean and standard deviation of each partner's rate; None when too few are known."""
    p, n = rate.to_numpy(dtype=float, na_value=np.nan), count.to_numpy(dtype=float, na_value=np.nan)
    sound = (p >= 0) & (p <= 1) & (n > 0)
    p, n = np.where(sound, p, np.nan), np.where(sound, n, np.nan)
    total = np.nansum(n)
    if sound.sum() < MIN_KNOWN or not total > sound.sum():
        return None
    mean = np.nansum(n * p) / total
    if not 0 < mean < 1:
        return None
    binomial = mean * (1 - mean)
    groups = sound.sum() - 1
    spread = np.nansum(n * (p - mean) ** 2)
    share = (spread - binomial * groups) / (binomial * (total - np.nansum(n**2) / total - groups))
    share = float(np.clip(share, 1e-6, 1 - 1e-6))
    prior = (1 - share) / share
    behind = (n * p + prior * mean) / (n + prior)
    error = np.sqrt(behind * (1 - behind) / (n + prior + 1))
    return pd.Series(behind, index=rate.index), pd.Series(error, index=rate.index)


def _read_assessments(assessments: pd.DataFrame, as_of: Any) -> pd.DataFrame:
    """Keep what is known at the end of the day, with `day` before that end (0 is the end, -1 a day earlier)."""
    if as_of is None:
        raise ValueError("as_of == None, must be the day of the features, such as '2026-06-30'")
    for column in ("partner_id", "assessed_at", "factor", "score", "assessor"):
        if column not in assessments.columns:
            raise ValueError(f"assessments has no column {column!r}; see programme.tables for its form")
    end = pd.Timestamp(as_of).normalize() + pd.Timedelta(days=1)
    day = (_naive(assessments["assessed_at"]) - end) / pd.Timedelta(days=1)
    known = day < 0
    if "arrived_at" in assessments.columns:
        known &= ~(_naive(assessments["arrived_at"]) >= end)
    score = read_column("assessments['score']", assessments["score"].set_axis(assessments["partner_id"]))
    known &= ~np.isnan(score) & assessments[["partner_id", "factor"]].notna().all(axis=1)
    rows = assessments.assign(day=day, score=score, factor=assessments["factor"].astype(str))
    return rows.loc[known, ["partner_id", "day", "factor", "score", "assessor"]]


def _take_factor(known: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Assessments of a factor; what an assessor said of its steps (`<factor>.<step>`) on one day is one, their mean."""
    rows = known[(known["factor"] == factor) | known["factor"].str.startswith(f"{factor}.")]
    return rows.groupby(["partner_id", "day", "assessor"], sort=False, as_index=False).agg({"score": "mean"})


def _naive(times: pd.Series) -> pd.Series:
    times = pd.to_datetime(times)
    return times.dt.tz_convert("UTC").dt.tz_localize(None) if times.dt.tz is not None else times


def _predict(rows: pd.DataFrame, model: AssessmentModel, feature: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Best linear prediction on the last day from the latest score of each assessor, and its standard error."""
    latest = rows.sort_values("day", kind="stable").drop_duplicates(["partner_id", "assessor"], keep="last")
    latest = latest.assign(score=latest["score"] - latest["assessor"].map(model.means))
    names = list(model.means.index)
    row = feature.index.get_indexer(pd.Index(latest["partner_id"]))
    column = pd.Index(names).get_indexer(pd.Index(latest["assessor"]))
    score, day = np.full((len(feature), len(names)), np.nan), np.full((len(feature), len(names)), np.nan)
    score[row[row >= 0], column[row >= 0]] = latest["score"].to_numpy()[row >= 0]
    day[row[row >= 0], column[row >= 0]] = latest["day"].to_numpy()[row >= 0]
    known = ~np.isnan(score)
    score, day = np.where(known, score, 0.0), np.where(known, day, 0.0)
    sill = model.signal**2
    both = known[:, :, None] & known[:, None, :]
    covariance = np.where(both, sill * np.exp(-np.abs(day[:, :, None] - day[:, None, :]) / model.range_days), 0.0)
    own = np.where(known, model.noise.fillna(0.0).to_numpy() ** 2 + JITTER * sill, 1.0)
    covariance += own[:, :, None] * np.eye(len(names))
    toward = np.where(known, sill * np.exp(day / model.range_days), 0.0)
    gain = np.linalg.solve(covariance, toward[:, :, None])[:, :, 0]
    has_any = known.any(axis=1) & feature.notna().to_numpy()
    expected = feature.mean() + (gain * score).sum(axis=1)
    error = np.sqrt(np.maximum(sill - (gain * toward).sum(axis=1), 0.0))
    return (
        pd.Series(np.where(has_any, expected, np.nan), index=feature.index),
        pd.Series(np.where(has_any, error, np.nan), index=feature.index),
    )
