"""Fairness of a rating: does it favor a group of partners beyond what happened next can justify?"""

import numpy as np
import pandas as pd

from partnerseg.rating.economics import YEAR
from partnerseg.rating.samples import MIN_PARTNERS, measure_error, normal_scores

MIN_SIGNAL = 4.0  # standard errors by which score and outcome must go together, within groups
COLUMNS = ("region", "company_size", "language")


def fairness_groups(features: pd.DataFrame) -> pd.DataFrame:
    """Take the groups by which fairness is told from features.

    Args:
        features: From `build_features`; of region, company_size, language, tenure_days what there is.

    Returns:
        The same index; the text columns as they are and `tenure` (under 1 year, 1 to 2 years, 2 to 3 years,
        over 3 years); missing where unknown.

    Raises:
        ValueError: None of the columns is there.

    Examples:
        >>> features = pd.DataFrame({"region": ["north", "south"], "tenure_days": [100.0, 800.0]})
        >>> fairness_groups(features).to_dict("list")
        {'region': ['north', 'south'], 'tenure': ['under 1 year', '2 to 3 years']}
    """
    groups = features[[name for name in COLUMNS if name in features.columns]].copy()
    if "tenure_days" in features.columns:
        labels = ["under 1 year", "1 to 2 years", "2 to 3 years", "over 3 years"]
        ends = [-np.inf, YEAR, 2 * YEAR, 3 * YEAR, np.inf]
        groups["tenure"] = pd.cut(features["tenure_days"], ends, labels=labels, right=False).astype(object)
    if groups.empty and not len(groups.columns):
        raise ValueError(f"features has none of {', '.join(COLUMNS)}, tenure_days; hand over groups of your own")
    return groups


def assess_fairness(
    score: pd.Series,
    groups: pd.Series | pd.DataFrame,
    outcome: pd.Series | None = None,
    *,
    tolerance: float = 5.0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Tell by how many points a rating favors each group over all others, at equal outcome.

    Groups may differ because they are different: their raw means prove nothing. A single comparison at
    equal outcome does not either: an outcome is a noisy sign of quality, so a group that is truly better
    looks favored at equal outcome, and for the same reason disfavored when outcomes are compared at equal
    score. With quality alone behind both, the truth lies between the two. A group is flagged where both
    point the same way, the interval around both excludes 0, and the nearer one reaches `tolerance`.

    The outcome enters as normal scores of its ranks (on each date by itself). The difference at equal
    outcome is the raw difference in score minus a slope times the difference in outcome; the slope is that
    of score on outcome within groups, at equal score the inverse of that of outcome on score. Standard
    errors are linearized, robust to unequal variances, and summed by partner where there are several
    dates; t-quantiles are divided by the number of groups assessed, over all columns of `groups`
    (Bonferroni), so that a false alarm anywhere has a chance of at most 1 - `level`.

    An outcome that is itself unfair hides unfairness of the score: this compares the score with the outcome,
    not with justice.

    Args:
        score: Points 0 to 100 by partner_id, or by (as_of, partner_id); missing means not rated.
        groups: Group of each partner by the same index, one column a way of grouping (as `fairness_groups`
            makes them); missing means unknown: the partner is left out of that column.
        outcome: What happened next, or any other measure of quality, by the same index; more is better.
            Without it only raw differences are told, and nothing is flagged.
        tolerance: Points from which a difference matters; at least 0.
        level: Level of all intervals together, between 0 and 1.

    Returns:
        One row a group: `attribute, group, n` (partners compared), `mean_score`; `raw` (mean score minus that
        of all others, points), `at_equal_outcome`, `at_equal_score` (differences in points, positive favors
        the group); `difference` (the nearer to 0 of the two, 0 where they disagree); `lower, upper` (the
        interval that holds both; without an outcome that of `raw`); `flagged` (missing where not assessed);
        `finding`, a sentence. A group, or all others, of under 30 partners is not assessed; neither is any
        where the score does not order the outcome within groups.

    Raises:
        ValueError: An index has duplicates, `tolerance` is negative, `level` is not between 0 and 1, or a
            column of `groups` holds numbers with more than 20 values.

    References:
        Conway, D. A., Roberts, H. V. (1983), Reverse regression, fairness, and employment discrimination,
        Journal of Business & Economic Statistics 1(1), 75-85.
        Goldberger, A. S. (1984), Reverse regression and salary discrimination, Journal of Human Resources
        19(3), 293-318.
        Klepper, S., Leamer, E. E. (1984), Consistent sets of estimates for regressions with errors in all
        variables, Econometrica 52(1), 163-183.

    Examples:
        >>> quality = np.tile(np.arange(100.0), 2)
        >>> region = pd.Series(["north"] * 100 + ["south"] * 100, name="region")
        >>> score = pd.Series(quality / 2 + 25 - 10 * (region == "south"))
        >>> result = assess_fairness(score, region, pd.Series(quality))
        >>> result[["group", "n", "flagged"]].values.tolist(), result["difference"].round().tolist()
        ([['north', 100, True], ['south', 100, True]], [10.0, -10.0])
    """
    frame = groups.to_frame(groups.name or "group") if isinstance(groups, pd.Series) else groups
    _check(score, frame, outcome, tolerance, level)
    compared = pd.DataFrame({"score": score.astype(float)})
    if outcome is not None:
        compared["outcome"] = outcome.astype(float).reindex(score.index)
    compared = compared.dropna().sort_index()
    labels = frame.reindex(compared.index)
    sides = [_Sides(compared, labels[name]) for name in frame.columns]
    family = sum(len(side.assessed) for side in sides)
    rows = [row for side in sides for row in side.compare(tolerance, level, max(family, 1))]
    return pd.DataFrame(rows).astype({"flagged": "boolean"}) if rows else pd.DataFrame(columns=_NAMES)


_NAMES = (
    "attribute", "group", "n", "mean_score", "raw", "at_equal_outcome", "at_equal_score", "difference", "lower",
    "upper", "flagged", "finding",
)  # fmt: skip


class _Sides:
    """Scores and outcomes of the partners whose group is known, for one way of grouping."""

    def __init__(self, compared: pd.DataFrame, label: pd.Series) -> None:
        known = label.notna().to_numpy()
        self.attribute = str(label.name)
        self.code, self.names = pd.factorize(label[known], sort=True)
        compared = compared[known]
        self.score = compared["score"].to_numpy()
        self.has_outcome = "outcome" in compared.columns
        self.outcome = normal_scores(compared["outcome"]).to_numpy() if self.has_outcome else np.zeros(len(compared))
        index = compared.index
        ids = index.get_level_values("partner_id" if "partner_id" in index.names else -1)
        self.partner = pd.factorize(ids)[0]
        # A partner may change its group from date to date; it counts in each.
        pairs = pd.DataFrame({"code": self.code, "partner": self.partner}).drop_duplicates()
        self.sizes = np.bincount(pairs["code"], minlength=len(self.names))
        others = [pairs.loc[pairs["code"] != code, "partner"].nunique() for code in range(len(self.names))]
        self.others = np.asarray(others, dtype=int)
        enough = (self.sizes >= MIN_PARTNERS) & (self.others >= MIN_PARTNERS)
        self.slopes = self._find_slopes() if enough.any() else []
        self.assessed = np.flatnonzero(enough) if self.slopes else np.asarray([], dtype=int)
        self.reason = "" if self.slopes else "the score does not order the outcome within groups"

    def _find_slopes(self) -> list[tuple[float, np.ndarray]]:
        """Slopes of score on outcome, each with its influence function; none where they go together too little."""
        rows = len(self.score)
        if not self.has_outcome:
            return [(0.0, np.zeros(rows))]
        s, y = _center(self.score, self.code), _center(self.outcome, self.code)
        cov, var_s, var_y = (s * y).mean(), (s * s).mean(), (y * y).mean()
        if not cov > MIN_SIGNAL * measure_error(s * y - cov, self.partner):
            return []
        direct, reverse = cov / var_y, var_s / cov
        return [(direct, y * (s - direct * y) / var_y), (reverse, s * (s - reverse * y) / cov)]

    def compare(self, tolerance: float, level: float, family: int) -> list[dict[str, object]]:
        from scipy.stats import t

        rows = []
        for code, name in enumerate(self.names):
            inside = self.code == code
            row: dict[str, object] = dict.fromkeys(_NAMES, np.nan)
            row |= {"attribute": self.attribute, "group": name, "n": int(self.sizes[code]), "flagged": pd.NA}
            row |= {"mean_score": self.score[inside].mean(), "finding": self._excuse(code)}
            if not inside.all():
                row["raw"] = self.score[inside].mean() - self.score[~inside].mean()
            if code in self.assessed:
                degrees = min(self.sizes[code], self.others[code]) - 1
                wide = float(t.ppf(1 - (1 - level) / 2 / family, degrees))
                row |= self._assess(inside, tolerance, wide)
                row["finding"] = self._tell(row)
            rows.append(row)
        return rows

    def _assess(self, inside: np.ndarray, tolerance: float, wide: float) -> dict[str, object]:
        found, lower, upper = [], [], []
        gap = self.outcome[inside].mean() - self.outcome[~inside].mean()
        for slope, influence in self.slopes:
            left = self.score - slope * self.outcome
            means = left[inside].mean(), left[~inside].mean()
            part = np.where(inside, (left - means[0]) / inside.mean(), (means[1] - left) / (~inside).mean())
            error = measure_error(part - gap * influence, self.partner)
            found.append(means[0] - means[1])
            lower.append(found[-1] - wide * error)
            upper.append(found[-1] + wide * error)
        answer: dict[str, object] = {"lower": min(lower), "upper": max(upper), "flagged": False}
        if self.has_outcome:
            agree = found[0] * found[1] > 0
            nearer = min(found, key=abs) if agree else 0.0
            clear = min(lower) > 0 or max(upper) < 0
            answer |= {"at_equal_outcome": found[0], "at_equal_score": found[1], "difference": nearer}
            answer["flagged"] = bool(clear and abs(nearer) >= tolerance)
        return answer

    def _excuse(self, code: int) -> str:
        who = f"{self.attribute} {self.names[code]}"
        if self.sizes[code] < MIN_PARTNERS:
            return f"{who} is not assessed: {self.sizes[code]} partners, {MIN_PARTNERS} are needed."
        if self.others[code] < MIN_PARTNERS:
            return f"{who} is not assessed: {self.others[code]} other partners, {MIN_PARTNERS} are needed."
        return f"{who} is not assessed: {self.reason}."

    def _tell(self, row: dict[str, object]) -> str:
        who = f"{row['attribute']} {row['group']}"
        if not self.has_outcome:
            return f"{who}: {row['raw']:+.1f} points against all others; without an outcome nobody can say why."
        if row["flagged"]:
            word = "more" if float(str(row["difference"])) > 0 else "fewer"
            return (
                f"{who} gets at least {abs(float(str(row['difference']))):.1f} points {word} than its outcome explains."
            )
        return f"{who}: no difference that matters beyond what its outcome explains."


def _check(score: pd.Series, groups: pd.DataFrame, outcome: pd.Series | None, tolerance: float, level: float) -> None:
    for name, table in {"score": score, "groups": groups, "outcome": outcome}.items():
        if table is not None and not isinstance(table, pd.Series | pd.DataFrame):
            raise ValueError(
                f"{name} is {type(table).__name__}, must be a Series by partner_id: pd.Series(..., index=ids)"
            )
        if table is not None and not table.index.is_unique:
            raise ValueError(f"{name}: a partner has more than one row; must be one row a partner and date")
    for name in groups.columns:
        if pd.api.types.is_numeric_dtype(groups[name]) and groups[name].nunique() > 20:
            raise ValueError(f"groups.{name} holds {groups[name].nunique()} numbers, must be groups; cut it by pd.cut")
    if not tolerance >= 0:
        raise ValueError(f"tolerance == {tolerance}, must be >= 0")
    if not 0 < level < 1:
        raise ValueError(f"level == {level}, must be between 0 and 1")


def _center(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    return values - (np.bincount(code, values) / np.bincount(code))[code]
