"""The programme pass: fit every model once for the whole programme, freeze it, hand out what a region needs."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partnerseg.models import Models, list_dates, list_history, list_quarters
from partnerseg.params import Params

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "umap-learn", "hdbscan", "duckdb", "ibis-framework")
FROZEN = "PARTNERSEG_FROZEN"  # set in the environment of a region's pages: models are loaded, never fitted
# What is told of partners at every month beside what their rating is made of.
TOLD = ("partner_type", "region", "company_size", "language", "tenure_days", "recency_days", "monetary_value_365d")
_LATER = ("batch", "cli", "edition", "execution", "hand_over", "pages")  # modules that only use the models
_DISPLAY = ("region", "region_name", "regions", "report", "batch", "directory", "sources")


def models_key(params: Params) -> str:
    """Return the hash of everything the frozen models depend on: inputs, parameters, package, environment."""
    from partnerseg.programme.sources import open_programme

    package = Path(__file__).parent
    code = [path for path in sorted(package.rglob("*")) if path.suffix in (".py", ".yaml") and path.stem not in _LATER]
    plain = {key: value for key, value in params.to_dict().items() if key not in _DISPLAY}
    plain["programme"].pop("data_dir")
    digest = hashlib.sha256()
    for part in (
        open_programme(params).key,
        json.dumps(plain, sort_keys=True),
        json.dumps([region.to_dict() for region in params.regions]),
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in code),
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

    features = build_features(open_programme(params), as_of=list_dates(params), **assess_factors(params))
    as_of = params.programme.as_of
    if as_of not in features.index.get_level_values("as_of"):
        raise ValueError(
            f"programme.as_of == {as_of!r}: no partner had joined by then; set a later date there or by --as-of"
        )
    features.to_parquet(target)


def assess_factors(params: Params) -> dict[str, Any]:
    """What `build_features` has to know of assessed factors: which there are, and how much each assessor counts."""
    from partnerseg.features.assessments import list_assessed

    return {"assessed": list_assessed(params.rating.factors), "evidence": params.rating.evidence}


def _build_history(params: Params, directory: Path, target: Path) -> None:
    """Build what the rating looks at for every month; other features of these dates have no reader."""
    from partnerseg.features.assessments import EVIDENCE
    from partnerseg.features.build import build_features
    from partnerseg.programme.sources import open_programme

    features = build_features(open_programme(params), as_of=list_history(params), **assess_factors(params))
    used = {name for row in params.rating.factors for name in row.features} | set(TOLD)
    kept = [name for name in features if name in used or str(name).startswith(EVIDENCE)]
    features[kept].to_parquet(target)


def _fit_segmenter(params: Params, directory: Path, target: Path) -> None:
    _find_segments(params, Models(params, directory).features[params.programme.as_of], target)


def _fit_segmenter_before(params: Params, directory: Path, target: Path) -> None:
    """Fit on the features of a year before; leave the folder empty where there was nobody."""
    features = Models(params, directory).features[list_dates(params)[0]]
    target.mkdir()
    if len(features):
        _find_segments(params, features, target)


def _find_segments(params: Params, features: "pd.DataFrame", target: Path) -> None:
    from partnerseg.segments.segmenter import PartnerSegmenter

    settings = params.segments
    PartnerSegmenter(
        min_partners=settings.min_partners,
        min_share=settings.min_share,
        n_neighbors=settings.n_neighbors,
        columns=list(settings.columns) or None,
        random_state=settings.random_state,
    ).fit(features).save(target)


def _fit_rating(params: Params, directory: Path, target: Path) -> None:
    """Fit on the features of the report; weights that are learned, on how partners changed and what came of it."""
    from partnerseg.rating.panel import build_periods
    from partnerseg.rating_results import fit_rating

    models = Models(params, directory)
    before, features = models.features.values()
    periods = None
    if "learned" in (params.rating.weighting, *dict(params.rating.blend.items())):
        periods = build_periods(models.programme, list_quarters(params), **assess_factors(params))
    fit_rating(params, features, before, periods=periods).save(target)


def _fit_journey(params: Params, directory: Path, target: Path) -> None:
    from partnerseg.journey.stages import Journey
    from partnerseg.programme.sources import open_programme

    settings = params.journey
    journey = Journey(settings.stages, settings.exits, settings.horizon_days, settings.rules)
    journey.fit(open_programme(params), as_of=params.programme.as_of, actions=params.actions).save(target)


def _apply_models(params: Params, directory: Path, target: Path) -> None:
    from partnerseg.results import apply_models

    target.mkdir()
    for name, frame in apply_models(Models(params, directory)).items():
        frame.to_parquet(target / f"{name}.parquet")


STEPS: dict[str, Callable[[Params, Path, Path], None]] = {
    "features.parquet": _build_features,
    "history.parquet": _build_history,
    "segmenter": _fit_segmenter,
    "segmenter_before": _fit_segmenter_before,
    "rating.json": _fit_rating,
    "journey": _fit_journey,
    "results": _apply_models,
}


def _fit_steps(params: Params, directory: Path, progress: Callable[[str], None] | None) -> None:
    """Do every step that is not frozen yet, in order."""
    from tqdm import tqdm

    left = [name for name in STEPS if not (directory / name).exists()]
    with tqdm(left, unit="step", disable=progress is not None) as bar:
        for name in bar:
            step, words = STEPS[name], name.partition(".")[0].replace("_", " ")
            bar.set_description(words)
            if progress is not None:
                progress(words)
            _write(directory / name, partial(step, params, directory))


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
