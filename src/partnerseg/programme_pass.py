"""The programme pass: fit every model once for the whole programme, freeze it, hand out what a region needs."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from partnerseg.params import Params

if TYPE_CHECKING:
    from partnerseg.journey.stages import Journey
    from partnerseg.programme.sources import Programme
    from partnerseg.rating.rating import PartnerRating
    from partnerseg.segments.segmenter import PartnerSegmenter

PACKAGES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "umap-learn", "hdbscan", "duckdb", "ibis-framework")
FROZEN = "PARTNERSEG_FROZEN"  # set in the environment of a region's pages: models are loaded, never fitted
_ADVISED = 10  # partners of each region that get advice
_TELLING = 8  # columns of a segment's profile on its page
_DISPLAY = ("region", "region_name", "regions", "report", "batch", "directory", "sources")


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
    def segmenter(self) -> "PartnerSegmenter":
        """The fitted segmenter."""
        from partnerseg.segments.segmenter import PartnerSegmenter

        return PartnerSegmenter.load(self.directory / "segmenter")

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


def models_key(params: Params) -> str:
    """Return the hash of everything the frozen models depend on: inputs, parameters, package, environment."""
    from partnerseg.programme.sources import open_programme

    package = Path(__file__).parent
    sources = [path for path in sorted(package.rglob("*.py")) if "report" not in path.relative_to(package).parts]
    plain = {key: value for key, value in params.to_dict().items() if key not in _DISPLAY}
    plain["programme"].pop("data_dir")
    digest = hashlib.sha256()
    for part in (
        open_programme(params).key,
        json.dumps(plain, sort_keys=True),
        json.dumps([region.to_dict() for region in params.regions]),
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in sources),
        *(f"{name} {version(name)}" for name in PACKAGES),
    ):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def open_models(
    params: Params | str | Path,
    *,
    region: str = "all",
    as_of: str = "",
    progress: Callable[[str], None] | None = None,
) -> Models:
    """Load the frozen models of a programme; fit and freeze them first if they are not there yet.

    Every step is frozen on its own, so a run that was killed goes on where it stopped. Of two
    processes that ask at the same time one fits and the other waits.

    Args:
        params: Parameters, or their folder; with a folder, `region` and `as_of` go to `load_params`.
        region: Code of the region whose rows are wanted.
        as_of: Date in place of `programme.as_of`.
        progress: Called with the name of each step that is done now; None shows a bar.

    Raises:
        ParamsError: The parameters are refused.
        SourceError: A source cannot be read or used.
        RuntimeError: A batch makes a region's page and the models that it froze no longer fit.
    """
    from partnerseg.params import load_params

    if not isinstance(params, Params):
        params = load_params(params, region=region, as_of=as_of)
    key = models_key(params)
    processed = params.programme.data_dir / "processed"
    directory = processed / f"models-{params.programme.as_of}-{key[:12]}"
    if not (directory / "complete.json").is_file():
        if FROZEN in os.environ:
            raise RuntimeError(
                "the data, the parameters or the package changed while the edition was being made: run it again "
                "(a region's page applies the models of the programme pass and never fits its own)"
            )
        directory.mkdir(parents=True, exist_ok=True)
        with _hold(processed / f".{directory.name}.lock"):
            _fit_steps(params, directory, progress)
            _write(directory / "complete.json", lambda path: path.write_text(json.dumps({"key": key})))
    return Models(params, directory)


def _build_features(params: Params, directory: Path, target: Path) -> None:
    from partnerseg.features.build import build_features
    from partnerseg.programme.sources import open_programme

    build_features(open_programme(params), as_of=_dates(params)).to_parquet(target)


def _fit_segmenter(params: Params, directory: Path, target: Path) -> None:
    from partnerseg.segments.segmenter import PartnerSegmenter

    settings = params.segments
    PartnerSegmenter(
        min_partners=settings.min_partners,
        min_share=settings.min_share,
        n_neighbors=settings.n_neighbors,
        columns=list(settings.columns) or None,
        random_state=settings.random_state,
    ).fit(_read_features(params, directory)[1]).save(target)


def _fit_rating(params: Params, directory: Path, target: Path) -> None:
    from partnerseg.rating.rating import PartnerRating

    settings = params.rating
    PartnerRating(
        settings.factors,
        weighting=settings.weighting,
        min_coverage=settings.min_coverage,
        bounds_quantiles=tuple(settings.bounds_quantiles),
        evidence=settings.evidence,
        tiers=settings.tiers,
        random_state=settings.random_state,
    ).fit(_read_features(params, directory)[1]).save(target)


def _fit_journey(params: Params, directory: Path, target: Path) -> None:
    from partnerseg.journey.stages import Journey
    from partnerseg.programme.sources import open_programme

    settings = params.journey
    journey = Journey(settings.stages, settings.exits, settings.horizon_days)
    journey.fit(open_programme(params), as_of=params.programme.as_of).save(target)


def _apply_models(params: Params, directory: Path, target: Path) -> None:
    target.mkdir()
    for name, frame in apply_models(Models(params, directory)).items():
        frame.to_parquet(target / f"{name}.parquet")


STEPS: dict[str, Callable[[Params, Path, Path], None]] = {
    "features.parquet": _build_features,
    "segmenter": _fit_segmenter,
    "rating.json": _fit_rating,
    "journey": _fit_journey,
    "results": _apply_models,
}


def apply_models(models: Models) -> dict[str, pd.DataFrame]:
    """Apply the frozen models to the whole programme: every result table by its name.

    Tables with one row a partner have the index partner_id and a column region. All others have a
    column region with `all` for the whole programme, unless they are about the programme only.
    """
    programme = models.programme
    before, features = _read_features(models.params, models.directory)
    names = programme.frame("partners").set_index("partner_id")["name"].reindex(features.index)
    partners, contributions = _rate_partners(models, before, features)
    partners.insert(0, "name", names.fillna(names.index.to_series()))
    partners.insert(1, "region", features["region"])
    plan = _plan_steps(models, features, partners)
    partners["next_step"] = plan["action"].reindex(partners.index)
    plan.insert(0, "name", partners["name"])
    groups = {"all": partners.index} | {str(code): rows for code, rows in partners.groupby("region").groups.items()}
    tables = {
        "partners": partners,
        "features": features,
        "contributions": contributions.assign(region=features["region"]),
        "plan": plan.assign(region=features["region"]),
        "advice": _advise_partners(models, features, partners),
        "ledger": programme.ledger,
        "freshness": programme.freshness,
        "aside": _count_aside(programme.quarantine),
        "notices": programme.notices,
        "unknown": _list_unknown(programme),
        "experiments": _count_variants(programme.frame("assignments"), features["region"]),
        "profile": _shorten_profile(models.segmenter, features),
        "factors": models.rating.factors_.reset_index(),
        **_tell_journey(models, features, groups),
        **_tell_effect(models, partners),
    }
    by_region = {
        "coverage": lambda rows: _summarize_coverage(features.loc[rows]),
        "segments": lambda rows: _count_segments(partners.loc[rows], models.segmenter.names_),
        "moves": lambda rows: _count_moves(partners.loc[rows], models.segmenter.names_),
        "factor_means": lambda rows: _mean_factors(contributions.loc[rows], models.rating.factors_),
    }
    for name, compute in by_region.items():
        tables[name] = pd.concat(
            [compute(rows).assign(region=code) for code, rows in groups.items()], ignore_index=True
        )
    tables["summaries"] = _summarize_regions(partners, tables["metrics"], groups)
    return tables


def _rate_partners(models: Models, before: pd.DataFrame, features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a partner: criteria, segment, place on the map, score, rank, tier; and the contributions."""
    from partnerseg.rating.tiers import assign_tiers
    from partnerseg.segments.criteria import assign_criteria

    segmenter, rating, settings = models.segmenter, models.rating, models.params.rating
    thresholds = rating.tier_thresholds_
    tier_before = assign_tiers(rating.score(before)["score"], thresholds=thresholds).tier
    scores = rating.score(features)
    ranks = rating.rank_interval(features, draws=settings.interval_draws, level=settings.interval_level)
    tiers = assign_tiers(scores["score"], hysteresis=settings.hysteresis, previous=tier_before, thresholds=thresholds)
    partners = pd.concat(
        [
            assign_criteria(features, models.params.segments),
            pd.DataFrame({"segment": segmenter.labels_}, index=features.index),
            pd.Series(segmenter.labels_, index=features.index).map(segmenter.names_).rename("segment_name"),
            _place_partners(segmenter, features),
            _place_partners(segmenter, before)["likely_segment"].rename("segment_before").reindex(features.index),
            scores,
            ranks[["lower", "upper"]].add_prefix("rank_"),
            tiers.tier.rename("tier"),
            tier_before.rename("tier_before").reindex(features.index),
            features[["monetary_value_365d", "recency_days"]],
        ],
        axis=1,
    )
    return partners, rating.contributions(features)


def _place_partners(segmenter: "PartnerSegmenter", features: pd.DataFrame) -> pd.DataFrame:
    """One row a partner: its likeliest segment and how likely that is, and its place on the map."""
    chances = segmenter.predict_proba(features)
    places = segmenter.transform(features)
    return pd.DataFrame(
        {
            "likely_segment": segmenter.predict(features),
            "probability": chances.max(axis=1),
            "x": places["x"],
            "y": places["y"],
        },
        index=features.index,
    )


def _plan_steps(models: Models, features: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """The plan for the whole programme, with the title of each step in the report's language."""
    from partnerseg.journey.next_steps import plan_next_steps

    params, programme = models.params, models.programme
    plan = plan_next_steps(
        features,
        partners[["segment", "segment_name"]],
        partners[["score"]],
        models.journey,
        actions=params.actions,
        capacity=params.plan,
        log=programme.frame("actions"),
        consents=programme.frame("consents"),
        preferences=programme.frame("preferences"),
        as_of=params.programme.as_of,
    )
    titles = {name: action.text[params.report.language].title for name, action in params.actions.items()}
    plan.insert(4, "title", plan["action"].map(titles))
    return plan.set_index("partner_id")


def _advise_partners(models: Models, features: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """One row a partner close below the next tier, the closest first: what would lift it, tried out."""
    from partnerseg.report.findings import state_changes

    rating, settings = models.rating, models.params.rating
    thresholds = rating.tier_thresholds_ + settings.hysteresis
    rows = []
    for _, own in partners.dropna(subset=["tier"]).groupby("region"):
        gaps = pd.concat(
            {tier: thresholds[tier] - own.loc[own["tier"] < tier, "score"] for tier in thresholds.index[:-1]},
            names=["tier"],
        )
        nearest = gaps[gaps > 0].sort_values(kind="stable").reset_index().drop_duplicates("partner_id").head(_ADVISED)
        for partner_id, tier, gap in nearest[["partner_id", "tier", "score"]].itertuples(index=False):
            advice = rating.raise_to(features, partner_id, tier, hysteresis=settings.hysteresis)
            changes = advice.changes[["feature", "now", "then"]].itertuples(index=False)
            rows.append(
                {
                    "partner_id": partner_id,
                    "name": partners.loc[partner_id, "name"],
                    "tier": str(partners.loc[partner_id, "tier"]),
                    "next_tier": tier,
                    "score": advice.score,
                    "points_missing": gap,
                    "reachable": advice.reachable,
                    "advice": state_changes(changes) or advice.reason,
                    "region": partners.loc[partner_id, "region"],
                }
            )
    columns = ["partner_id", "name", "tier", "next_tier", "score", "points_missing", "reachable", "advice", "region"]
    return pd.DataFrame(rows, columns=columns).set_index("partner_id").sort_values("points_missing", kind="stable")


def _tell_journey(models: Models, features: pd.DataFrame, groups: dict[str, pd.Index]) -> dict[str, pd.DataFrame]:
    """Stages, conversion, time in stage and bottlenecks, for the programme and each region."""
    journey, region = models.journey, features["region"]

    def spread(table: pd.DataFrame, by_region: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([table, by_region], ignore_index=True).rename(columns={"group": "region"})

    deals = journey.current_["deal_id"].notna().any()
    worth = features["average_order_value_365d" if deals else "monetary_value_365d"]
    waits = [journey.bottlenecks(worth.loc[rows]).assign(region=code) for code, rows in groups.items()]
    current = journey.current_.assign(region=journey.current_["partner_id"].map(region))
    return {
        "stages": pd.concat([current.assign(region="all"), current], ignore_index=True),
        "conversion": spread(journey.conversion(), journey.conversion(by=region)),
        "time_in_stage": spread(journey.time_in_stage(), journey.time_in_stage(by=region)),
        "bottlenecks": pd.concat(waits, ignore_index=True),
    }


def _tell_effect(models: Models, partners: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Metrics for the programme and each region, by segment within them, and quarter by quarter."""
    from partnerseg.effect.metrics import summarize_metrics

    from partnerseg.programme.sources import as_frames

    settings, programme, as_of = models.params.effect, as_frames(models.programme), models.params.programme.as_of
    options = {
        "window_days": settings.window_days,
        "level": settings.interval_level,
        "stages": tuple(settings.conversion),
    }
    groups = partners[["segment_name"]].fillna("no segment")
    after = pd.Timestamp(models.params.programme.as_of) + pd.Timedelta(days=1)
    ends = [after - pd.DateOffset(months=months) - pd.Timedelta(days=1) for months in range(21, -1, -3)]
    first = programme["sales"]["sold_at"].min() + pd.Timedelta(days=settings.window_days - 31)
    quarters = [end.strftime("%Y-%m-%d") for end in ends if first <= end]  # a window must lie within what is known

    def spread(as_of: str | list[str], by: list[str], **more: object) -> pd.DataFrame:
        whole = summarize_metrics(programme, as_of=as_of, by=by, **options, **more).assign(region="all")
        return pd.concat([whole, summarize_metrics(programme, as_of=as_of, by=["region", *by], **options, **more)])

    trend = ["revenue_per_partner", "active_share", "engagement_rate"]
    return {
        "metrics": spread(as_of, []),
        "segment_metrics": spread(as_of, ["segment_name"], groups=groups),
        "trend": spread(quarters, [], metrics=trend),
    }


def _count_segments(partners: pd.DataFrame, names: dict[int, str]) -> pd.DataFrame:
    """One row a segment: segment, name, n, share of the partners given; who belongs to none is in no row."""
    counts = partners["segment"].value_counts().reindex(list(names), fill_value=0)
    return pd.DataFrame(
        {
            "segment": counts.index,
            "name": counts.index.map(names),
            "n": counts.to_numpy(),
            "share": counts.to_numpy() / max(len(partners), 1),
        }
    )


def _count_moves(partners: pd.DataFrame, names: dict[int, str]) -> pd.DataFrame:
    """One row a segment a year ago, a column a segment now: how many partners; joined and left beside them."""
    from partnerseg.segments.moves import migration_matrix

    before = partners["segment_before"].dropna().astype(int)
    matrix = migration_matrix(before, partners["likely_segment"])
    return matrix.rename(index=names, columns=names).reset_index(names="a_year_ago")


def _shorten_profile(segmenter: "PartnerSegmenter", features: pd.DataFrame) -> pd.DataFrame:
    """One row a segment: how large and how stable, and the columns that differ most between segments."""
    profile = segmenter.profile_
    numbers = profile.select_dtypes("number").columns.intersection(features.select_dtypes("number").columns)
    places = features[numbers].rank(pct=True).groupby(segmenter.labels_).mean()
    telling = places.std().sort_values(ascending=False, kind="stable").index[:_TELLING]
    words = profile.columns.intersection(["partner_type", "company_size"])
    columns = ["name", "n", "share", "stability", *words, *telling]
    return profile[columns].reset_index(drop=True)


def _summarize_coverage(features: pd.DataFrame) -> pd.DataFrame:
    """One row a family of features: family, number of features, share of known values (0 to 1)."""
    from partnerseg.features.catalogue import describe_features

    family = describe_features()["family"]
    known = features.notna().mean().groupby(family.reindex(features.columns), sort=False).agg(["size", "mean"])
    return known.set_axis(["features", "coverage"], axis=1).rename_axis("family").reset_index()


def _count_aside(quarantine: pd.DataFrame) -> pd.DataFrame:
    """One row a table and reason: how many rows were set aside, and where the first one stands."""
    keys = ["table", "column", "reason"]
    counts = quarantine.groupby(keys, dropna=False, sort=False).agg(
        rows=("line", "size"), file=("file", "first"), line=("line", "first")
    )
    return counts.reset_index().sort_values("rows", ascending=False, kind="stable", ignore_index=True)


def _list_unknown(programme: "Programme") -> pd.DataFrame:
    """One row a column that no source knows: table, column; `*` where the table has no rows."""
    empty = set(programme.freshness.loc[programme.freshness["rows"] == 0, "table"])
    rows = [
        (table, column)
        for table, columns in programme.unknown.items()
        for column in (["*"] if table in empty else columns)
    ]
    return pd.DataFrame(rows, columns=["table", "column"])


def _count_variants(assignments: pd.DataFrame, region: pd.Series) -> pd.DataFrame:
    """One row an experiment and variant: partners, first and last day of assignment."""
    own = assignments.assign(region=assignments["partner_id"].map(region))
    both = pd.concat([own.assign(region="all"), own])
    counts = both.groupby(["region", "experiment", "variant"]).agg(
        n=("partner_id", "nunique"), first=("assigned_at", "min"), last=("assigned_at", "max")
    )
    return counts.reset_index()


def _mean_factors(contributions: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """One row a factor: its mean contribution in points, and for what share of these partners it is known."""
    return pd.DataFrame(
        {
            "factor": factors.index,
            "pillar": factors["pillar"].to_numpy(),
            "weight": factors["weight"].to_numpy(),
            "contribution": contributions.dropna(how="all").fillna(0).mean().reindex(factors.index).to_numpy(),
            "coverage": contributions.notna().mean().reindex(factors.index).to_numpy(),
        }
    )


def _summarize_regions(partners: pd.DataFrame, metrics: pd.DataFrame, groups: dict[str, pd.Index]) -> pd.DataFrame:
    """One row a region: the measures that the index compares, with `_lower` and `_upper` where there is an interval."""
    shown = ["revenue_per_partner", "active_share", "engagement_rate", "conversion"]
    rows = {}
    for code, index in groups.items():
        own = metrics[metrics["region"] == code].set_index("metric")
        row: dict[str, float] = {"partners": len(index), "revenue": own.loc["revenue", "value"]}
        for name in shown:
            row |= {
                name: own.loc[name, "value"],
                f"{name}_lower": own.loc[name, "lower"],
                f"{name}_upper": own.loc[name, "upper"],
            }
        row["score"] = partners.loc[index, "score"].median()
        rows[code] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("region")


def _dates(params: Params) -> list[str]:
    """The date of the report and the one a year before it."""
    as_of = pd.Timestamp(params.programme.as_of)
    return [day.strftime("%Y-%m-%d") for day in (as_of - pd.DateOffset(years=1), as_of)]


def _read_features(params: Params, directory: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frozen features of a year before, and of the date of the report."""
    features = pd.read_parquet(directory / "features.parquet")
    before, now = _dates(params)
    return features.loc[before], features.loc[now]


def _fit_steps(params: Params, directory: Path, progress: Callable[[str], None] | None) -> None:
    """Do every step that is not frozen yet, in order."""
    from tqdm import tqdm

    left = [name for name in STEPS if not (directory / name).exists()]
    with tqdm(left, unit="step", disable=progress is not None) as bar:
        for name in bar:
            step, words = STEPS[name], name.partition(".")[0]
            bar.set_description(words)
            if progress is not None:
                progress(words)
            _write(directory / name, lambda path, step=step: step(params, directory, path))


def _write(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or folder beside the target, then rename it: it is there whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)
    write(part)
    os.replace(part, target)


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
