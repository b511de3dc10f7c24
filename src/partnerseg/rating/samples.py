"""What proof, fairness and learning have in common: fewest partners, normal scores, errors of means by partner."""

import numpy as np
import pandas as pd
from scipy.special import ndtri

# Fewest partners that anything is told of, or learned from.
MIN_PARTNERS = 30


def normal_scores(values: pd.Series) -> pd.Series:
    """Replace values by the normal quantiles of their ranks, on each date by itself.

    Args:
        values: Numbers, none missing, by partner_id or by (as_of, partner_id).

    Returns:
        The same index; ties share theirs.

    Examples:
        >>> normal_scores(pd.Series([7.0, 5.0, 900.0])).round(2).tolist()
        [0.0, -0.97, 0.97]
    """
    if values.index.nlevels > 1:
        dates = values.groupby(level=0)
        share = (dates.rank() - 0.5) / dates.transform("size")
    else:
        share = (values.rank() - 0.5) / len(values)
    return pd.Series(ndtri(share.to_numpy(dtype=float)), index=values.index)


def measure_error(influence: np.ndarray, partner: np.ndarray) -> float:
    """Measure the standard error of a mean, all rows of a partner being one draw.

    Args:
        influence: What each row adds to the figure, over their mean.
        partner: Whole numbers from 0: the partner of each row.

    Examples:
        >>> measure_error(np.array([1.0, -1.0]), np.array([0, 1]))
        1.0
    """
    total = np.bincount(partner, influence)
    return float(np.sqrt((total**2).sum() * len(total) / max(len(total) - 1, 1)) / len(influence))
