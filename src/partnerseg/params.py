"""Parameters: read strictly, checked against the defaults, handed on as one immutable object."""

import datetime as dt
import re
import unicodedata
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 64 * 1024
FORMS = {
    "date": (re.compile(r"\d{4}-\d{2}-\d{2}"), "a date as YYYY-MM-DD"),
    "currency": (re.compile(r"[A-Z]{3}"), "a currency code of three capitals, as EUR"),
    "name": (re.compile(r"[a-z][a-z0-9_]*"), "a name in small letters, digits and _"),
    "path": (re.compile(r".+"), "a path"),
}
RESERVED = ("all", "unknown", "tables", "index.html", "manifest.json")  # no codes of regions
_ACTION = {
    "stages": [""],
    "hours": 0.0,
    "cost": 0.0,
    "channels": [""],
    "owner": "",
    "default": [""],
}
_ACTION_MAY: dict[str, Any] = {"seats": 0, "topics": [], "factors": []}  # what an entry may leave out
_IDLE = "none"  # the action of a decision without a step; none may be called so
_SEPARATORS = re.compile(r"[\s,;]")  # what stands between the names that a partner lists
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]+)?")
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_PLAIN: dict[str, Any] = {"text": "", "number": 0.0, "integer": 0, "flag": False, "names": {}}


class ParamsError(ValueError):
    """A parameter file that cannot be used: says file, key, value, rule and way out."""


class Params(Mapping[str, Any]):
    """Parameters as an immutable object whose attributes are named as in the YAML.

    Mappings become `Params`, lists become tuples. `params["rating"]` and `params.rating` are the same.

    Raises:
        AttributeError: A name that is not there; the message tells the nearest.

    Example:
        >>> params = Params({"rating": {"min_coverage": 0.4}})
        >>> params.rating.min_coverage
        0.4
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_values", {str(key): _freeze(value) for key, value in values.items()})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"there is no parameter {name!r}{_nearest(name, self.__dict__.get('_values', ()))}")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"parameters do not change: edit {name!r} in the parameter files and load again")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"Params({self.to_dict()!r})"

    def __deepcopy__(self, memo: dict) -> "Params":
        return self

    def __reduce__(self) -> tuple:
        return Params, (self._values,)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as plain dicts, lists and values; paths as text."""
        return {key: _thaw(value) for key, value in self._values.items()}


def load_params(params_dir: str | Path, *, region: str = "all", as_of: str = "") -> Params:
    """Load the parameters of a programme, as one of its regions sees them.

    The values of `programme.yaml` come first (those of the file that it `extends` before them), then
    those of the region's file in `regions/`.

    Args:
        params_dir: Folder with `programme.yaml`, `regions/`, `sources/` and `actions.yaml`.
        region: Code of a region, or `all` for the whole programme.
        as_of: Date `YYYY-MM-DD` in place of `programme.as_of`; empty means as in the file.

    Returns:
        All parameters, named as in `programme.yaml`, and besides them `regions` (a tuple, one entry a
        region with `code` and `name`), `actions` (by name), `sources` (a tuple of entries with `path`
        and `mapping`) and `directory` (the folder). Paths are absolute.

    Raises:
        ParamsError: A file or folder is missing, or a key, type or value is refused.

    Example:
        >>> params = load_params("params", region="north")
        >>> params.region, params.programme.currency
        ('north', 'EUR')
    """
    directory = Path(params_dir).resolve()
    values, rules = _load_programme(directory)
    _check_sense(values, directory / "programme.yaml")
    regions = _load_regions(directory, values, rules)
    if as_of:
        values["programme"]["as_of"] = as_of
        _check_value(values["programme"]["as_of"], "", "programme.as_of", rules, "the as_of that was given")
    if region != "all":
        if region not in regions:
            raise ParamsError(
                f"region {region!r} is not one of this programme{_nearest(region, regions)}; "
                f"the regions are the files in {directory / 'regions'}: {', '.join(regions) or 'none'}"
            )
        values = regions[region]
        if as_of:
            values["programme"]["as_of"] = as_of
    values["regions"] = [{"code": code, "name": own["region_name"] or code} for code, own in regions.items()]
    values["actions"] = _load_actions(directory, rules)
    if (path := directory / "actions.yaml").is_file():  # those of another folder may be for other stages
        _check_stages(values["actions"], values["journey"], path)
    values["sources"] = [{"path": path, "mapping": read_yaml(path)} for path in _yaml_files(directory / "sources")]
    values["directory"] = directory
    return Params(values)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file strictly.

    Only `true` and `false` are flags and only plain decimal digits are numbers: `NO`, `010`, `null`
    and `12:30` stay the text they are. An empty value is empty text.

    Raises:
        ParamsError: The file is missing, over 64 KiB, not UTF-8, no YAML, not a mapping, has a key
            twice, or uses tags, anchors or aliases.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "norway.yaml"
        >>> _ = path.write_text("region: NO\\nplan: {hours: 010, budget: 5.0}\\n")
        >>> read_yaml(path)
        {'region': 'NO', 'plan': {'hours': '010', 'budget': 5.0}}
    """
    path = Path(path)
    if not path.is_file():
        raise ParamsError(f"{path}: there is no such file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ParamsError(f"{path}: {size:,} bytes; a parameter file has at most {MAX_BYTES:,}: split it or shorten it")
    try:
        text = path.read_text(encoding="utf-8")
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
                kind = type(token).__name__.removesuffix("Token").lower()
                line = token.start_mark.line + 1
                raise ParamsError(f"{path}, line {line}: a YAML {kind} is refused; write the value itself")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ParamsError(f"{path}: a parameter file is `key: value` lines, this is something else")
    return _build(node, path)


def _build(node: yaml.Node, path: Path) -> Any:
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                raise ParamsError(f"{path}, line {key_node.start_mark.line + 1}: a key must be text")
            if key in result:
                raise ParamsError(f"{path}, line {key_node.start_mark.line + 1}: {key!r} stands twice; delete one")
            result[key] = _build(value_node, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, path) for item in node.value]
    text = str(node.value)
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _load_programme(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the checked values of the programme and the rules they follow."""
    path = directory / "programme.yaml"
    if not path.is_file():
        raise ParamsError(f"{path}: there is no such file; a folder of parameters has a programme.yaml")
    own = read_yaml(path)
    if "extends" in own:
        parent = (directory / str(own.pop("extends"))).resolve()
        if parent == path.resolve() or not parent.is_file():
            raise ParamsError(f"{path}: extends: {parent} must be another file that is there")
        defaults, rules = _load_programme(parent.parent)
        return _override(defaults, own, rules, path), rules
    if "rules" not in own:
        raise ParamsError(
            f"{path}: has neither `extends` nor `rules`; start it with `extends: <the default programme.yaml>`"
        )
    rules = own.pop("rules")
    return _override(own, own, rules, path), rules


def _load_regions(directory: Path, values: dict[str, Any], rules: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the values of every region by its code, in the order of the codes."""
    regions: dict[str, dict[str, Any]] = {}
    allowed = rules["regions_may_set"]
    for path in _yaml_files(directory / "regions"):
        own = read_yaml(path)
        merged = _override(values, own, rules, path)
        for key in _leaves(own):
            if not any(key == name or key.startswith(name + ".") for name in allowed):
                raise ParamsError(
                    f"{path}: {key} belongs to the whole programme, whose models are fitted once; "
                    f"set it in programme.yaml. A region may set {', '.join(allowed)}"
                )
        code = unicodedata.normalize("NFC", merged["region"])
        if "region" not in own or code.casefold() in RESERVED or not re.fullmatch(r"[^\W_](?:[\w .-]{0,62}\w)?", code):
            raise ParamsError(
                f"{path}: region: {code!r} is no code for a region; use 1 to 64 letters, digits, space, '-', '_', '.', "
                f"beginning and ending with a letter or digit; not one of {', '.join(RESERVED)}, which have a meaning"
            )
        if any(code.casefold() == other.casefold() for other in regions):
            raise ParamsError(f"{path}: region: {code!r} stands in another file of this folder too; delete one")
        regions[code] = merged | {"region": code}
    return dict(sorted(regions.items()))


def _load_actions(directory: Path, rules: dict[str, Any]) -> dict[str, Any]:
    """Return the actions of the folder, or of the programme that it extends."""
    path = directory / "actions.yaml"
    if path.is_file():
        return {name: _check_action(name, entry, rules, path) for name, entry in read_yaml(path).items()}
    extends = read_yaml(directory / "programme.yaml").get("extends")
    return _load_actions((directory / str(extends)).resolve().parent, rules) if extends else {}


def _check_action(name: str, entry: Any, rules: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return a checked entry of actions.yaml: its columns and, by language, its title and instructions."""
    path = f"{file}: {name}"
    if not name or name.casefold() == _IDLE or _SEPARATORS.search(name):
        raise ParamsError(
            f"{file}: the name of an action, {name!r}, must be a word without spaces, commas and semicolons, and not "
            f"{_IDLE!r}, which says that no step was taken; rename it here and in the table actions, as "
            f"{_SEPARATORS.sub('_', name.strip()) if name.strip() and name.casefold() != _IDLE else 'welcome_call'!r}"
        )
    if not isinstance(entry, dict) or not isinstance(text := entry.get("text"), dict) or not text:
        raise ParamsError(f"{path}: must be a section with {', '.join(_ACTION)} and text by language, not {entry!r}")
    words = {"title": "", "instructions": ""}
    checked = {name: value for name, value in entry.items() if name != "text"}
    texts = {language: _check_row(said, words, "text", rules, f"{path}: {language}") for language, said in text.items()}
    if "en" not in texts:
        raise ParamsError(f"{path}: text has {', '.join(texts)}, must have en, told where another language is missing")
    action = _check_row(_ACTION_MAY | checked, _ACTION | _ACTION_MAY, "actions", rules, path)
    for stage in action["default"]:
        if stage not in action["stages"]:
            near = _nearest(stage, action["stages"])
            raise ParamsError(f"{path}: actions.default: {stage!r} must be one of its stages{near}")
    _check_ways(action, path)
    return {**action, "text": texts}


def _check_ways(action: dict[str, Any], path: str) -> None:
    """Raise ParamsError where an action has no channel, or a name that a partner cannot list."""
    if not action["channels"]:
        raise ParamsError(
            f"{path}: actions.channels: [] must name at least one way to take the step; write one, as [phone]"
        )
    for key in ("channels", "topics"):
        for name in action[key]:
            if not name.strip() or "," in name or ";" in name:
                raise ParamsError(
                    f"{path}: actions.{key}: {name!r} must be one name without commas and semicolons; write a list, as "
                    "[phone, email]"
                )


def _check_stages(actions: dict[str, Any], journey: dict[str, Any], path: Path) -> None:
    """Raise ParamsError where an action is for a stage that the journey beside it does not have."""
    known = [*journey["stages"], *journey["exits"]]
    for name, entry in actions.items():
        for stage in entry["stages"]:
            if stage not in known:
                raise ParamsError(
                    f"{path}: {name}: actions.stages: {stage!r} must be one of journey.stages or journey.exits in "
                    f"programme.yaml{_nearest(stage, known)}; write one of {', '.join(known)}"
                )


def _check_sense(values: dict[str, Any], path: Path) -> None:
    """Raise ParamsError where parameters contradict each other."""
    journey, tiers = values["journey"], values["rating"]["tiers"]
    names = [*journey["stages"], *journey["exits"]]
    if not journey["stages"] or len(names) < 2 or len(set(names)) < len(names):
        raise ParamsError(
            f"{path}: journey.stages and journey.exits: {names!r} must be stages in order, two or more with the exits, "
            "no name twice"
        )
    for key, wanted in (("journey.target", [journey["target"]]), ("effect.conversion", values["effect"]["conversion"])):
        for stage in wanted:
            if stage not in journey["stages"]:
                near = _nearest(stage, journey["stages"])
                raise ParamsError(f"{path}: {key}: {stage!r} must be one of journey.stages{near}")
    for stage in journey["target_days"]:
        if stage not in names:
            raise ParamsError(
                f"{path}: journey.target_days: {stage!r} must be one of journey.stages{_nearest(stage, names)}"
            )
    if not tiers or abs(sum(tiers.values()) - 1) > 1e-6:
        raise ParamsError(f"{path}: rating.tiers: {tiers!r} must be shares that sum to 1, the best tier first")
    _check_names(values["rating"], path)


def _check_names(rating: dict[str, Any], path: Path) -> None:
    """Raise ParamsError where rows of the rating name a tier or factor that is not there."""
    factors = [row["factor"] for row in rating["factors"]]
    named = (
        ("privileges", "tier", "one of rating.tiers", rating["tiers"]),
        ("group_weights", "factor", "a factor of rating.factors", factors),
        ("judgments", "better", "a factor of rating.factors", factors),
        ("judgments", "worse", "a factor of rating.factors", factors),
    )
    for table, column, what, known in named:
        for number, row in enumerate(rating[table], start=1):
            if (name := row[column]) not in known:
                near = _nearest(name, known)
                raise ParamsError(f"{path}: row {number}: rating.{table}.{column}: {name!r} must be {what}{near}")


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _override(defaults: dict[str, Any], own: dict[str, Any], rules: dict[str, Any], path: Path, at: str = "") -> dict:
    """Return the defaults with the values of one file laid over them, each checked."""
    merged = dict(defaults)
    for name, value in own.items():
        key = f"{at}.{name}" if at else name
        if name not in defaults:
            raise ParamsError(f"{path}: {key}: there is no such parameter{_nearest(name, defaults)}")
        default = defaults[name]
        rule = rules.get(key, {})
        if isinstance(default, dict) and "open" not in rule:
            if not isinstance(value, dict):
                raise ParamsError(f"{path}: {key}: {value!r} must be a section with {', '.join(default)}")
            merged[name] = _override(default, value, rules, path, key)
        else:
            merged[name] = _check_value(value, default, key, rules, str(path))
            if rule.get("form") == "path":
                merged[name] = (path.parent / merged[name]).resolve()
    return merged


def _check_value(value: Any, default: Any, key: str, rules: dict[str, Any], path: str) -> Any:
    """Return the value, a whole number as float where the default is one; raise ParamsError if refused."""
    rule = rules.get(key, {})

    def refuse(what: str, allowed: Any = ()) -> ParamsError:
        return ParamsError(f"{path}: {key}: {value!r} must be {what}{_nearest(value, allowed)}")

    if isinstance(default, Path):
        default = str(default)
    if isinstance(default, dict):
        if not isinstance(value, dict):
            raise refuse(f"names with {rule.get('open', 'text')} each, as {{name: value}}")
        for name in value:
            if "names" in rule and not FORMS[rule["names"]][0].fullmatch(name):
                raise ParamsError(f"{path}: {key}: the name {name!r} must be {FORMS[rule['names']][1]}")
        plain, bounds = (
            _PLAIN[rule.get("open", "text")],
            {name: rule[name] for name in ("least", "largest") if name in rule},
        )
        return {
            name: _check_value(item, plain, f"{key}.{name}", {f"{key}.{name}": bounds}, path)
            for name, item in value.items()
        }
    if isinstance(default, list):
        if not isinstance(value, list):
            raise refuse("a list, as [a, b]")
        if len(value) != rule.get("length", len(value)):
            raise refuse(f"a list of {rule['length']}")
        if "rows" in rule or (default and isinstance(default[0], dict)):
            first = {name: _PLAIN[kind] for name, kind in rule["rows"].items()} if "rows" in rule else default[0]
            may = rule.get("may", {})
            return [
                _check_row(may | row if isinstance(row, dict) else row, first, key, rules, f"{path}: row {n}")
                for n, row in enumerate(value, start=1)
            ]
        item = _PLAIN[rule["items"]] if "items" in rule else (default or [""])[0]
        return [_check_item(entry, item, key, rules, path) for entry in value]
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise refuse(_WORDS[type(default)] + (": write it in quotes" if isinstance(default, str) else ""))
    if "choices" in rule and value not in rule["choices"]:
        raise refuse("one of " + ", ".join(map(str, rule["choices"])), rule["choices"])
    if "least" in rule and value < rule["least"]:
        raise refuse(f"at least {rule['least']}")
    if "largest" in rule and value > rule["largest"]:
        raise refuse(f"at most {rule['largest']}")
    if "form" in rule:
        pattern, words = FORMS[rule["form"]]
        if not pattern.fullmatch(value) or (rule["form"] == "date" and not _is_date(value)):
            raise refuse(words)
    return value


def _check_item(entry: Any, item: Any, key: str, rules: dict[str, Any], path: str) -> Any:
    if isinstance(entry, list) and "items" in rules.get(key, {}):
        return [_check_value(part, item, key, rules, path) for part in entry]
    return _check_value(entry, item, key, rules, path)


def _check_row(row: Any, first: dict[str, Any], key: str, rules: dict[str, Any], path: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ParamsError(f"{path}: {key}: {row!r} must be a row with {', '.join(first)}")
    missing, unknown = [name for name in first if name not in row], [name for name in row if name not in first]
    if missing:
        raise ParamsError(f"{path}: {key}: {missing[0]} is missing; a row has {', '.join(first)}")
    if unknown:
        raise ParamsError(f"{path}: {key}.{unknown[0]}: there is no such column{_nearest(unknown[0], first)}")
    return {name: _check_value(row[name], first[name], f"{key}.{name}", rules, path) for name in first}


def _is_date(value: str) -> bool:
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _leaves(values: dict[str, Any], at: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{at}{name}.")
        else:
            yield f"{at}{name}"


def _nearest(name: Any, names: Any) -> str:
    close = get_close_matches(str(name), [str(known) for known in names], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _freeze(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value if isinstance(value, Params) else Params(value)
    return tuple(_freeze(item) for item in value) if isinstance(value, list | tuple) else value


def _thaw(value: Any) -> Any:
    if isinstance(value, Params):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_thaw(item) for item in value]
    return str(value) if isinstance(value, Path) else value
