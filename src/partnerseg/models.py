"""The frozen models and result tables of a programme, seen from one region."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from partnerseg.params import Params

if TYPE_CHECKING:
    from partnerseg.journey.stages import Journey
    from partnerseg.programme.sources import Programme
    from partnerseg.rating.rating import PartnerRating
    from partnerseg.segments.segmenter import PartnerSegmenter

MONTHS = 24  # so far back ratings are looked at
QUARTER_MONTHS = 33  # so far back the last of twelve quarters ends


@dataclass(frozen=True)
class Models:
    """The frozen models and result tables of a programme, seen from one region.

    Attributes:
        params: Parameters, with the region whose rows `table` gives.
        directory: Where everything is frozen.
    """

    params: Params
    directory: Path

    def table(self, name: str, *, region: str = "", every: bool = False) -> pd.DataFrame:
        """Return a result table: the rows of the region, of the whole programme for `all`.

        Args:
            name: One of `tables`.
            region: A region in place of `params.region`.
            every: True for the rows of every region and of `all`, told apart by the region's name in the column region.

        Raises:
            KeyError: There is no such table.
        """
        path = self.directory / "results" / f"{name}.parquet"
        if not path.is_file():
            raise KeyError(f"there is no table {name!r}; there are {', '.join(self.tables)}")
        frame = pd.read_parquet(path)
        region = region or self.params.region
        if "region" not in frame:
            return frame
        if every:
            names = {own.code: own.name for own in self.params.regions}
            return frame.assign(region=frame["region"].map(lambda code: names.get(code, code)))
        if frame.index.name == "partner_id":
            return frame if region == "all" else frame[frame["region"] == region]
        return frame[frame["region"] == region].reset_index(drop=True)

    @property
    def tables(self) -> list[str]:
        """Names of the result tables."""
        return sorted(path.stem for path in (self.directory / "results").glob("*.parquet"))

    @cached_property
    def programme(self) -> "Programme":
        """The checked tables with their ledger."""
        from partnerseg.programme.sources import open_programme

        return open_programme(self.params)

    @cached_property
    def features(self) -> dict[str, pd.DataFrame]:
        """The features of the whole programme by date: a year before the report (perhaps nobody), then its own."""
        features = pd.read_parquet(self.directory / "features.parquet")
        days = features.index.get_level_values("as_of")
        return {day: features[days == day].droplevel("as_of") for day in list_dates(self.params)}

    @cached_property
    def history(self) -> pd.DataFrame:
        """What the rating looks at, month by month: index (as_of, partner_id), earliest date first."""
        return pd.read_parquet(self.directory / "history.parquet")

    @cached_property
    def segmenter(self) -> "PartnerSegmenter":
        """The fitted segmenter."""
        from partnerseg.segments.segmenter import PartnerSegmenter

        return PartnerSegmenter.load(self.directory / "segmenter")

    @cached_property
    def segmenter_before(self) -> "PartnerSegmenter | None":
        """The segmenter fitted as of a year before the report; None when there was nobody."""
        from partnerseg.segments.segmenter import PartnerSegmenter

        folder = self.directory / "segmenter_before"
        return PartnerSegmenter.load(folder) if (folder / "segmenter.json").is_file() else None

    @cached_property
    def rating(self) -> "PartnerRating":
        """The fitted rating."""
        from partnerseg.rating.rating import PartnerRating

        return PartnerRating.load(self.directory / "rating.json")

    @cached_property
    def journey(self) -> "Journey":
        """The fitted journey."""
        from partnerseg.journey.stages import Journey

        return Journey.load(self.directory / "journey")

    @property
    def partners(self) -> pd.DataFrame:
        """One row a partner of the region: attributes, criteria, segment, rating, stage, next step."""
        return self.table("partners")

    @property
    def summaries(self) -> pd.DataFrame:
        """One row a region, and one for `all`: the measures that the index compares."""
        return pd.read_parquet(self.directory / "results" / "summaries.parquet")


def list_quarters(params: Params) -> list[str]:
    """Return the ends of the quarters of three years, earliest first: periods that weights are learned from.

    Example:
        >>> list_quarters(Params({"programme": {"as_of": "2026-06-30"}}))[-2:]
        ['2026-03-30', '2026-06-30']
    """
    as_of = pd.Timestamp(params.programme.as_of)
    return [(as_of - pd.DateOffset(months=months)).strftime("%Y-%m-%d") for months in range(QUARTER_MONTHS, -1, -3)]


def list_history(params: Params) -> list[str]:
    """Return the dates at which ratings are looked back on: each month of two years, earliest first.

    Example:
        >>> list_history(Params({"programme": {"as_of": "2026-06-30"}}))[-3:]
        ['2026-04-30', '2026-05-30', '2026-06-30']
    """
    as_of = pd.Timestamp(params.programme.as_of)
    return [(as_of - pd.DateOffset(months=months)).strftime("%Y-%m-%d") for months in range(MONTHS, -1, -1)]


def list_dates(params: Params) -> list[str]:
    """Return the dates that features are built for: a year before the report, and its own.

    Example:
        >>> list_dates(Params({"programme": {"as_of": "2026-06-30"}}))
        ['2025-06-30', '2026-06-30']
    """
    as_of = pd.Timestamp(params.programme.as_of)
    return [day.strftime("%Y-%m-%d") for day in (as_of - pd.DateOffset(years=1), as_of)]
