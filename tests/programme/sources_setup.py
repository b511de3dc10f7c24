"""A small programme in a folder: files and mapping entries in, params out."""

from pathlib import Path
from typing import Any

from partnerseg.params import Params

PARTNERS = b"id,region\np1,north\np2,south\n0007,north\nNA,south\n"
UNKNOWN = ["name", "partner_type", "industry", "company_size", "country", "joined_at"]
PARTNER_SOURCE: dict[str, Any] = {
    "table": "partners",
    "file": "partners.csv",
    "columns": {"partner_id": "id", "region": "region"},
    "unknown": UNKNOWN,
}
SALES_SOURCE: dict[str, Any] = {
    "table": "sales",
    "file": "sales.csv",
    "zone": "UTC",
    "columns": {
        "sale_id": "id",
        "partner_id": "partner",
        "sold_at": "day",
        "amount": "sum",
        "currency": "cur",
        "is_return": "ret",
    },
}


def make_params(
    home: Path,
    files: dict[str, bytes],
    sources: list[dict[str, Any]],
    *,
    max_bad_share: float = 0.5,
    rates: dict[str, float] | None = None,
    regions: tuple[str, ...] = ("north", "south"),
) -> Params:
    """Write the raw files, those of the default partners among them, and return what `open_programme` needs."""
    raw = home / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in {"partners.csv": PARTNERS, **files}.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content)
    return Params(
        {
            "programme": {"currency": "EUR", "rates": rates or {}, "data_dir": home},
            "quality": {"max_bad_share": max_bad_share},
            "regions": [{"code": code} for code in regions],
            "sources": [{"path": home / "crm.yaml", "mapping": {"sources": sources}}],
        }
    )
