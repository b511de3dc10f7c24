"""How partners changed from period to period and what came next: the panel that weights are learned from."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partnerseg.rating.factors import Factor, read_factors, read_numbers
from partnerseg.rating.scaling import fit_scales, score_numbers

if TYPE_CHECKING:
    from partnerseg.programme.sources import Programme

# For each mean the feature that counts its cases, beside `features.catalogue.list_counts`; what stands for itself is a
# count.
COUNTS = {
    "focused_trainings_365d": "focused_trainings_365d",
    "resolution_hours_365d": "tickets_365d",
    "response_hours_365d": "touches_365d",
    "task_quality_365d": "tickets_365d",
    "ticket_csat_365d": "tickets_365d",
    "training_score_365d": "trainings_365d",
}
OUTCOME = "frequency_365d"  # in a panel of periods: the orders of the period
LONGEST = 365  # days of a period: the windows of the features
MIN_DATES = 12  # with fewer, what only follows from the outcome seems to precede it
MIN_PAIRS = 100  # repeated measures that tell a covariance, at least
MEMORIES = np.arange(0.05, 0.985, 0.01)
QUANTILES = (0.01, 0.99)  # bounds of a feature without stated ones: only what is far out is pulled in


@dataclass(frozen=True)
class Changes:
    """What was to be expected of partners at each date, and what came next, both against the partner's own past.

    Attributes:
        X: Index (as_of, partner_id), a column a factor: how far the partner is expected to stand above its own past,
            in standard deviations of the factor, times the root of the row's precision; a factor that no measure
            tells anything of is missing.
        y: The same index: the outcome of the period that follows, as a share above the partner's own past periods,
            times the same root. Least squares of `y` on `X` gives the change of the outcome (0.1 is a tenth) for one
            standard deviation of each factor.
        memory: Correlation of a factor with itself a period later.
        measures: One row a feature that was not left out: factor, feature, `signal` (variance that fades with the
            factor), `level` (variance of what lasts with a partner; negative where each partner's mean was divided
            out), `noise` (variance of one case), in points of 100, for counts in squared shares of the partner's mean;
            `used` tells whether it has a signal. All missing where too few repeat.
    """

    X: pd.DataFrame
    y: pd.Series
    memory: float
    measures: pd.DataFrame

    def __len__(self) -> int:
        return len(self.y)


def build_periods(
    data: "Programme | Mapping[str, pd.DataFrame]", ends: Sequence[str | date], **options: Any
) -> pd.DataFrame:
    """Build the features of each period from its own events alone.

    Events are moved to the last period, as if every partner and period were a partner of its own, so that a window of
    365 days sees one period. A late row is unseen when it arrives after the end of its period.

    Args:
        data: A programme, or a dict of DataFrames named as the tables; held in memory.
        ends: Last days of the periods, as far from each other as the periods are long: quarter ends, for example. The
            first period is as long as the second.
        options: As for `build_features`: assessed, evidence.

    Returns:
        Index (as_of, partner_id), as_of the end `YYYY-MM-DD`, for partners who had joined by then; the columns of
        `build_features`. What looks back beyond the period (`recency_days`, growth, new customers) means little here;
        tenure is missing.

    Raises:
        ValueError: There are fewer than two ends, one lies more than 365 days after the one before, or a partner_id
            stands twice in `partners`.

    Examples:
        >>> day = pd.to_datetime(["2026-03-30", "2026-05-02", "2026-05-03"])
        >>> tables = {
        ...     "partners": pd.DataFrame({"partner_id": ["a"]}),
        ...     "sales": pd.DataFrame({"sale_id": ["1", "2", "3"], "partner_id": "a", "amount": 10.0, "sold_at": day,
        ...                            "currency": "EUR", "is_return": False})}
        >>> build_periods(tables, ["2026-03-31", "2026-06-30"])["frequency_365d"].tolist()
        [1.0, 2.0]
    """
    from partnerseg.features.build import build_features
    from partnerseg.programme.tables import TABLES

    days = pd.DatetimeIndex([pd.Timestamp(day) for day in ends]).unique().sort_values()
    if len(days) < 2 or days.to_series().diff().max() > pd.Timedelta(days=LONGEST):
        raise ValueError(f"ends == {list(ends)}, must be at least two days, none over {LONGEST} days after another")
    whole = dict(data) if isinstance(data, Mapping) else {name: data.frame(name) for name in data.tables}
    partners = whole["partners"].reset_index(drop=True)
    twice = partners["partner_id"][partners["partner_id"].duplicated()]
    if len(twice):
        raise ValueError(f"partners: partner_id {twice.iloc[0]!r} stands there twice; give each partner one row")
    number = pd.Series(partners.index * len(days), index=partners["partner_id"])
    moved: dict[str, pd.DataFrame] = {"partners": _repeat_partners(partners, days)}
    for name, frame in whole.items():
        table = TABLES[name]
        if name != "partners" and table.time and "partner_id" in frame and name != "assignments":
            known = frame[frame["partner_id"].isin(number.index) & frame[table.time].notna()]
            move = _keep_consents if name == "consents" else _move_events
            moved[name] = move(known, table.time, days, number)
    features = build_features(moved, as_of=str(days[-1].date()), **options)
    place = features.index.astype("int64")
    index = pd.MultiIndex.from_arrays(
        [
            days.strftime("%Y-%m-%d").astype("str")[place % len(days)],
            partners["partner_id"].to_numpy()[place // len(days)],
        ],
        names=["as_of", "partner_id"],
    )
    return features.set_index(index).sort_index()


def _repeat_partners(partners: pd.DataFrame, days: pd.DatetimeIndex) -> pd.DataFrame:
    """One row a partner and period that had joined by its end; `partner_id` is their number, in text."""
    every = partners.loc[partners.index.repeat(len(days))].reset_index(drop=True)
    every["partner_id"] = every.index.astype("str")
    if "joined_at" not in every:
        return every
    end = np.tile(days.to_numpy(), len(partners))
    return every[~(every["joined_at"].dt.normalize().to_numpy() > end)].drop(columns="joined_at")


def _move_events(rows: pd.DataFrame, time: str, days: pd.DatetimeIndex, number: pd.Series) -> pd.DataFrame:
    """Give each event to its partner and period, moved in time to the last period."""
    day = rows[time].dt.normalize()
    within = (day > days[0] - (days[1] - days[0])) & (day <= days[-1])
    rows, place = rows[within], days.searchsorted(day[within])
    later = pd.Series(days[-1] - days[place], index=rows.index)
    times = [name for name in rows.columns if str(rows[name].dtype).startswith("datetime64")]
    own = (number.reindex(rows["partner_id"]).to_numpy() + place).astype(str)
    return rows.assign(partner_id=own, **{name: rows[name] + later for name in times})


def _keep_consents(rows: pd.DataFrame, time: str, days: pd.DatetimeIndex, number: pd.Series) -> pd.DataFrame:
    """What a partner had consented to by the end of each period."""
    start = number.reindex(rows["partner_id"]).to_numpy()
    parts = [
        rows.assign(partner_id=(start + place).astype(str))[(rows[time].dt.normalize() <= end).to_numpy()]
        for place, end in enumerate(days)
    ]
    return pd.concat(parts, ignore_index=True)


def expect_changes(
    panel: pd.DataFrame,
    factors: Iterable[Any],
    *,
    outcome: str = OUTCOME,
    counts: Mapping[str, str] | None = None,
    leave_out: Collection[str] | None = None,
) -> Changes:
    """Tell, for each partner and date, what was to be expected of each factor and what came next.

    What a feature tells of a partner is taken for the partner's lasting level, plus a factor that fades by the same
    share every period, plus noise that shrinks with the cases behind the value. How a feature repeats (covariance =
    level + signal * memory ** lag) tells these apart; the memory is that of all features together. What is expected of
    a factor on the day, and of its own past, follows from the values of its measures up to that day (a Kalman filter).
    What the filter takes as known is found from all dates, later ones too: bounds of points, memory, signal, level and
    noise, the same for all partners, and for a count each partner's mean, which its values are shares of. So on short
    panels a later value reaches earlier rows a little. Outcomes of the next period are told against the mean of the
    partner's own earlier ones (backward orthogonal deviations), weighing by their precision, so that what a partner
    always had counts for nothing, nor does what all have at a date: variance = a * mean + b * mean ** 2, as for counts
    that vary more than chance lets them.

    What is a consequence of the outcome cannot be learned from it: features counted from the table that the outcome is
    counted from are left out, and a factor made of nothing else keeps its stated share (`learn_weights`). Consequences
    counted elsewhere (predetermined regressors: complaints that follow orders) are not told from causes by design;
    taking away means over time lets them seem to be causes, by about one part in the number of dates, which is why
    there must be twelve.

    Args:
        panel: Features of periods of equal length, of their own events alone: index (as_of, partner_id), from
            `build_periods`.
        factors: Rows of the factor table, as for `PartnerRating`.
        outcome: Column of `panel` with what is to be raised: orders or money of the period, at least 0; missing where
            unknown. It counts once a partner has sold, until it sells no more.
        counts: For each mean or rate the column that counts its cases, itself for a count; None: `COUNTS` and
            `features.catalogue.list_counts()`. Whole numbers from 0 up that state no bounds are taken for counts too;
            what has no column of cases, for one case where it is known.
        leave_out: Features to learn nothing from; None: those that read a table that the outcome reads, by
            `features.catalogue.describe_features()` (of frequency_365d: `sales`). A factor keeps its other features.

    Returns:
        `Changes`: `weights.learned(changes.X, changes.y)` takes it from there.

    Raises:
        ValueError: The index is not (as_of, partner_id) or repeats; there are under 12 dates with an outcome above 0,
            or dates at unequal distances; a feature or the outcome is absent; or an outcome is negative or infinite.

    References:
        Harvey, A. C. (1989), Forecasting, Structural Time Series Models and the Kalman Filter, Cambridge University
        Press, chapter 3.
        Nickell, S. (1981), Biases in dynamic models with fixed effects, Econometrica 49(6), 1417-1426.
        Arellano, M., Bover, O. (1995), Another look at the instrumental variable estimation of error-components
        models, Journal of Econometrics 68(1), 29-51 (orthogonal deviations).
        McCullagh, P., Nelder, J. A. (1989), Generalized Linear Models, Chapman & Hall, chapter 9 (quasi-likelihood).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> skill = rng.normal(size=(500, 1)) * np.ones(12)
        >>> for period in range(1, 12):
        ...     skill[:, period] = 0.8 * skill[:, period - 1] + 0.6 * rng.normal(size=500)
        >>> orders = rng.poisson(20 * np.exp(0.3 * np.roll(skill, 1, axis=1)))
        >>> days = pd.period_range("2024Q1", periods=12, freq="Q").end_time.strftime("%Y-%m-%d")
        >>> index = pd.MultiIndex.from_product([days, range(500)], names=["as_of", "partner_id"])
        >>> panel = pd.DataFrame({"test": 50 + 10 * skill.T.ravel(), "frequency_365d": orders.T.ravel()}, index=index)
        >>> changes = expect_changes(panel, [{"factor": "skill", "features": ["test"], "bounds": [[0, 100]]}])
        >>> effect = np.linalg.lstsq(changes.X.to_numpy(), changes.y.to_numpy())[0]
        >>> bool(0.25 < effect[0] < 0.35)
        True
    """
    from partnerseg.features.catalogue import list_counts

    rows = read_factors(factors)
    _check_panel(panel, outcome)
    counts = {**list_counts(), **COUNTS} if counts is None else counts
    counts = {feature: column for feature, column in counts.items() if column in panel.columns}
    left = set(_list_own(outcome) if leave_out is None else leave_out)
    measured = [
        measure for factor in rows for measure in _measure_factor(panel, factor, counts) if measure.feature not in left
    ]
    memory, found = _separate_noise(measured)
    following, precision = _follow_outcome(panel[outcome].astype(float))
    change, weight = _leave_past(following.to_numpy(), precision)
    expected = {}
    for factor in rows:
        own = [row for row in found if row.measure.factor == factor.factor and row.signal > 0]
        expected[factor.factor] = _expect(own, memory, precision) if own else np.full(change.shape, np.nan)
    counted = (weight > 0).T
    index = pd.MultiIndex.from_product([following.columns, following.index], names=["as_of", "partner_id"])
    scaled = {name: _center(values, weight).T[counted] for name, values in {**expected, "": change}.items()}
    table = pd.DataFrame(scaled, index=index[counted.ravel()])
    return Changes(table.drop(columns=""), table[""].rename(outcome), memory, _tell_measures(found))


def _list_own(outcome: str) -> list[str]:
    """Features that read a table which the outcome reads too; none for an outcome that is no feature."""
    from partnerseg.features.catalogue import describe_features

    tables = describe_features()["tables"].str.split(", ").map(set)
    own = tables.get(outcome, set())
    return [str(name) for name, read in tables.items() if read & own]


def _check_panel(panel: pd.DataFrame, outcome: str) -> None:
    if list(panel.index.names) != ["as_of", "partner_id"] or not panel.index.is_unique:
        raise ValueError("panel: must have one row a date and partner, index (as_of, partner_id); see build_periods")
    if outcome not in panel.columns:
        raise ValueError(f"outcome == {outcome!r}: panel has no such column; name the orders or money of a period")
    wrong = panel[outcome][(panel[outcome] < 0) | np.isinf(panel[outcome])]
    if len(wrong):
        raise ValueError(f"panel.{outcome} == {wrong.iloc[0]} for {wrong.index[0]}, must be finite and >= 0")
    told = panel.index[panel[outcome] > 0].unique("as_of")
    if len(told) < MIN_DATES:
        raise ValueError(
            f"panel has {len(told)} dates with {outcome} above 0, must be >= {MIN_DATES}; build {MIN_DATES} periods or "
            "more of a time whose sales are known, or use stated weights"
        )
    days = pd.DatetimeIndex(panel.index.unique("as_of")).sort_values()
    apart = days.to_series().diff().dropna()
    if apart.max() > 1.5 * apart.min():
        raise ValueError(
            f"panel: dates are {apart.min().days} to {apart.max().days} days apart, must be the same; "
            "build periods of one length"
        )


@dataclass(frozen=True)
class _Measure:
    """A feature over time: partners x dates, deviations from the date's mean, and the cases behind each (0: none)."""

    factor: str
    feature: str
    values: np.ndarray
    cases: np.ndarray
    relative: bool

    @property
    def variance(self) -> float:
        return float(np.average(self.values**2, weights=self.cases)) if self.cases.any() else 0.0


@dataclass(frozen=True)
class _Noise:
    """A measure's variance by origin."""

    measure: _Measure
    signal: float
    level: float
    noise: float


def _spread(values: pd.Series) -> pd.DataFrame:
    return values.unstack("as_of")  # noqa: PD010


def _measure_factor(panel: pd.DataFrame, factor: Factor, counts: Mapping[str, str]) -> list[_Measure]:
    """Points of each feature, or for a count its share above the partner's mean."""
    measures = []
    numbers = read_numbers(panel, factor.features)
    for scale, stated in zip(fit_scales(panel, [factor], bounds_quantiles=QUANTILES), factor.bounds, strict=True):
        counted = counts.get(scale.feature)
        raw = numbers[scale.feature]
        is_count = scale.whole and not stated and np.nanmin(raw) >= 0 if counted is None else counted == scale.feature
        if is_count and scale.direction != "target":
            values = _spread(pd.Series(raw, index=panel.index))
            mean = values.mean(axis=1)
            values = (values.div(mean.where(mean > 0), axis=0) - 1) * (1 if scale.direction == "up" else -1)
            cases = values.notna().mul(mean, axis=0)
        else:
            values = _spread(pd.Series(score_numbers(numbers, (scale,))[:, 0], index=panel.index))
            known = values.notna().astype(float)
            cases = known if counted is None else known * _spread(panel[counted].astype(float)).fillna(0.0)
        weight = np.nan_to_num(cases.to_numpy(dtype=float))
        deviation = _deviate(np.where(weight > 0, values.to_numpy(), 0.0), weight)
        measures.append(_Measure(factor.factor, scale.feature, deviation, weight, is_count))
    return measures


def _deviate(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Take each date's weighted mean away; 0 where nothing weighs."""
    mean = (values * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-12)
    return np.where(weight > 0, values - mean, 0.0)


def _measure_repeats(measure: _Measure) -> np.ndarray:
    """Covariance of a measure with itself: a row (lag in periods, covariance, pairs); pairs weigh as their cases."""
    values, cases = measure.values, measure.cases
    rows = []
    for lag in range(1, max(2, 2 * values.shape[1] // 3) + 1):
        weight = cases[:, :-lag] * cases[:, lag:]
        pairs = int((weight > 0).sum())
        if pairs >= MIN_PAIRS:
            rows.append((lag, np.average(values[:, :-lag] * values[:, lag:], weights=weight), pairs))
    return np.array(rows).reshape(-1, 3)


def _fit_repeats(measure: _Measure, repeats: np.ndarray, memory: float) -> tuple[float, float, float]:
    """Fit covariance = level + signal * memory ** lag; return signal, level and the squares left.

    Neither is negative and together they are no more than the variance. Where each partner's mean was divided out,
    the level is what that took from all covariances.
    """
    from scipy.optimize import nnls

    sign = -1.0 if measure.relative else 1.0
    lag, covariance, pairs = repeats.T
    root = np.sqrt(pairs)
    design = np.column_stack([memory**lag, np.full(len(lag), sign), np.zeros(len(lag))])
    whole = 100 * root.max()  # signal + level + noise is the variance, all but exactly
    rows = np.vstack([design * root[:, None], whole * np.array([1.0, sign, 1.0])])
    found = nnls(rows, np.append(covariance * root, whole * measure.variance))[0]
    left = (covariance - design @ found) * root
    return float(found[0]), sign * float(found[1]), float(left @ left)


def _separate_noise(measures: Sequence[_Measure]) -> tuple[float, list[_Noise]]:
    """Find the memory that all measures share, and of each its signal, level and noise."""
    repeats = [_measure_repeats(measure) for measure in measures]
    told = [(one, own) for one, own in zip(measures, repeats, strict=True) if len(own) > 1 and one.variance > 0]

    def lose(memory: float) -> float:
        return sum(_fit_repeats(one, own, memory)[2] / one.variance**2 for one, own in told)

    memory = float(min(MEMORIES, key=lose)) if told else np.nan
    found = []
    for one, own in zip(measures, repeats, strict=True):
        if len(own) < 2 or not one.variance > 0:
            found.append(_Noise(one, np.nan, np.nan, np.nan))
            continue
        signal, level, _ = _fit_repeats(one, own, memory)
        noise = _measure_noise(one, int(own[0, 0]), signal, memory)
        found.append(_Noise(one, signal, level, max(noise, 1e-6 * one.variance)))
    return memory, found


def _measure_noise(measure: _Measure, lag: int, signal: float, memory: float) -> float:
    """Variance of one case, from differences over the lag: a partner's level drops out of them, whatever it is."""
    cases, later = measure.cases[:, :-lag], measure.cases[:, lag:]
    squares = (measure.values[:, lag:] - measure.values[:, :-lag]) ** 2 - 2 * signal * (1 - memory**lag)
    known = (cases > 0) & (later > 0)
    return float(np.mean((squares * cases * later)[known] / (cases + later)[known]))


def _tell_measures(found: Sequence[_Noise]) -> pd.DataFrame:
    rows = [
        (row.measure.factor, row.measure.feature, row.signal, row.level, row.noise, row.signal > 0) for row in found
    ]
    return pd.DataFrame(rows, columns=["factor", "feature", "signal", "level", "noise", "used"])


def _follow_outcome(outcome: pd.Series) -> tuple[pd.DataFrame, np.ndarray]:
    """Outcome of the period after each date, as a share above what partner and date let expect, and its precision.

    Both partners x dates; precision is 0 where a partner has not sold by the date, sells no more, or is unknown.
    """
    from scipy.optimize import nnls

    own = _spread(outcome)
    after = own.shift(-1, axis=1)
    begun = own.fillna(0.0).cumsum(axis=1) > 0
    goes_on = after.fillna(0.0).iloc[:, ::-1].cumsum(axis=1).iloc[:, ::-1] > 0
    known = (after.notna() & begun & goes_on).to_numpy()
    amount = np.where(known, after.to_numpy(), 0.0)
    of_date = np.ones(known.shape[1])
    for _ in range(30):  # iterative proportional fitting: partner times date
        of_partner = amount.sum(axis=1) / np.maximum((known * of_date).sum(axis=1), 1e-12)
        of_date = amount.sum(axis=0) / np.maximum((known * of_partner[:, None]).sum(axis=0), 1e-12)
    mean = of_partner[:, None] * of_date
    known &= mean > 0
    mean = np.where(known, mean, 1.0)
    share = np.where(known, amount / mean - 1, 0.0)
    periods = np.broadcast_to(known.sum(axis=1, keepdims=True), known.shape)
    told = known & (periods > 2)  # a mean of few periods takes their noise along
    design = np.column_stack([1 / mean[told], np.ones(told.sum())])
    squares = share[told] ** 2 * periods[told] / (periods[told] - 1)
    weight = 1 / (1 / mean[told] + np.median(1 / mean[told])) if told.any() else np.ones(0)
    a, b = nnls(design * weight[:, None], squares * weight)[0] if told.any() else (1.0, 0.0)
    precision = np.where(known, 1 / np.maximum(a / mean + b, 1e-12), 0.0)
    return pd.DataFrame(share, index=own.index, columns=own.columns), precision


def _leave_past(share: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each outcome less the mean of the partner's earlier ones, and the precision of the difference."""
    weight = np.cumsum(precision, axis=1) - precision
    before = np.cumsum(precision * share, axis=1) - precision * share
    counts = (weight > 0) & (precision > 0)
    past, own = np.where(counts, weight, 1.0), np.where(counts, precision, 1.0)
    return np.where(counts, share - before / past, 0.0), np.where(counts, past * own / (past + own), 0.0)


def _expect(found: Sequence[_Noise], memory: float, precision: np.ndarray) -> np.ndarray:
    """Expect a factor at each date less its mean at the earlier ones, from its measures up to that date.

    The state of a partner: the factor, the sum of its past values weighing as the outcomes that followed, and the
    level of each measure. Returns partners x dates, in standard deviations; 0 before there is a past.
    """
    partners, dates = precision.shape
    size = 2 + len(found)
    state, spread = np.zeros((partners, size)), np.zeros((partners, size, size))
    spread[:, 0, 0] = 1.0
    for place, row in enumerate(found):
        spread[:, 2 + place, 2 + place] = max(row.level, 0.0)
    past = np.zeros(partners)
    expected = np.zeros((partners, dates))
    for day in range(dates):
        for place, row in enumerate(found):
            seen = np.flatnonzero(row.measure.cases[:, day] > 0)
            load = np.zeros(size)
            load[[0, 2 + place]] = np.sqrt(row.signal), 1.0
            along = spread[seen] @ load
            gain = along / (along @ load + row.noise / row.measure.cases[seen, day])[:, None]
            state[seen] += gain * (row.measure.values[seen, day] - state[seen] @ load)[:, None]
            spread[seen] -= gain[:, :, None] * along[:, None, :]
        expected[:, day] = np.where(past > 0, state[:, 0] - state[:, 1] / np.where(past > 0, past, 1.0), 0.0)
        step = np.tile(np.eye(size), (partners, 1, 1))
        step[:, 0, 0], step[:, 1, 0] = memory, precision[:, day]
        state = np.einsum("nij,nj->ni", step, state)
        spread = step @ spread @ step.transpose(0, 2, 1)
        spread[:, 0, 0] += 1 - memory**2
        past += precision[:, day]
    return expected


def _center(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return _deviate(values, weight) * np.sqrt(weight)
