"""The pages in docs/: their commands, snippets and parameters run, what they name is there."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import yaml

from partnerseg.hand_over import FORMS, TOLD, Receipt, hand_over
from partnerseg.journey.derive import Rule
from partnerseg.params import load_params, read_yaml
from partnerseg.programme.mapping import read_mapping
from partnerseg.programme.tables import TABLES
from tests.test_hand_over import AS_OF, consent, make_steps

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def find_blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.S)


def find_rows(page, head):
    """The cells of the table whose head begins so."""
    (table,) = re.findall(rf"^\| {re.escape(head)}.*\n\|[ |-]+\n((?:\|.*\n)+)", PAGES[page], re.M)
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder like the repository, with a sample programme of 200 partners."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("params", "notebooks"):
        shutil.copytree(ROOT / name, folder / name)
    run(folder, f"{BIN}/partnerseg simulate data/raw/sample --partners 200")
    return folder


def run(folder, *command):
    given = command[0] if len(command) == 1 else list(command)
    done = subprocess.run(given, shell=isinstance(given, str), cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{given}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in PAGES[page]])
def test_snippets_run_one_after_the_other(place, page):
    snippets = "\n".join(find_blocks(page, "python"))
    assert run(place, sys.executable, "-W", "ignore", "-c", snippets).count("\n") > 10


def test_commands_of_the_hand_over_run_and_twice_changes_nothing(place):
    (block,) = find_blocks("hand_over.md", "sh")
    commands = block.replace(".venv/bin/", f"{BIN}/").splitlines()
    assert len(commands) == 3
    for command in commands:
        first, again = run(place, command), run(place, command)
        planned = int(re.match(r"Planned (\d+), changed 0, withdrawn 0", first)[1])
        assert planned > 10 and f"Unchanged since the last time: {planned}." in again and "No file was" in again
    assert sorted(path.name for path in (place / "data" / "handed_over").iterdir()) == sorted(FORMS)
    (receipt,) = (place / "data" / "handed_over" / "hubspot").glob("*.receipt.json")
    assert receipt.name in PAGES["hand_over.md"]
    assert set(json.loads(receipt.read_text())) == {field.name for field in fields(Receipt)}


def test_command_of_the_hand_over_to_a_database_runs(place, postgres):
    (command,) = re.findall(r"^CRM_DATABASE=.*", PAGES["hand_over.md"], re.M)
    command = command.replace("postgresql://user@host/database", f"'{postgres}'").replace(".venv/bin/", f"{BIN}/")
    assert "No file was written." in run(place, command)
    assert "Planned 0, changed 0" in run(place, command)


@pytest.mark.parametrize(
    ("page", "block"),
    [(page, block) for page in PAGES for block in find_blocks(page, "yaml") if not block.startswith("#")],
)
def test_parameters_are_accepted(place, page, block):
    own = place / "params" / "examples" / "docs"
    (own / "regions").mkdir(parents=True, exist_ok=True)
    (own / "sources").mkdir(exist_ok=True)
    (own / "programme.yaml").write_text(f"extends: ../../programme.yaml\n{block}", encoding="utf-8")
    told = load_params(own).to_dict()
    for section, values in yaml.safe_load(block).items():
        assert {name: told[section][name] for name in values} == values


def test_quoted_parameters_stand_in_their_files():
    quoted = [block for page in PAGES for block in find_blocks(page, "yaml") if block.startswith("# ")]
    assert len(quoted) == 3
    for block in quoted:
        name = re.match(r"# ([\w./]+)", block)[1]
        if "added" not in block.splitlines()[0]:
            file = " ".join((ROOT / name).read_text(encoding="utf-8").split())
            assert " ".join(block.partition("\n")[2].split()) in file or name.endswith("sample.yaml")
    tickets = next(one for one in read_sample() if one["table"] == "tickets")["columns"]
    assert yaml.safe_load(quoted[0]).items() <= tickets.items()


def read_sample():
    return yaml.safe_load((ROOT / "params/sources/sample.yaml").read_text(encoding="utf-8"))["sources"]


def test_the_action_of_the_page_is_accepted_and_planned_where_nothing_is_known_of_it(tmp_path):
    import partnerseg as ps

    shutil.copytree(ROOT / "params", tmp_path / "params")
    (added,) = [block for block in find_blocks("journey.md", "yaml") if "added" in block.splitlines()[0]]
    with open(tmp_path / "params" / "actions.yaml", "a", encoding="utf-8") as file:
        file.write(added)
    (name,) = yaml.safe_load(added)
    actions = {name: load_params(tmp_path / "params").actions[name]}
    index = pd.Index([f"p{number}" for number in range(40)], name="partner_id")
    stages = pd.DataFrame({"partner_id": index, "stage": "activated", "entered_at": pd.Timestamp("2026-01-05")})
    plan = ps.plan_next_steps(
        pd.DataFrame(index=index),
        pd.DataFrame({"segment": 1}, index=index),
        pd.DataFrame(index=index),
        ps.Journey(["activated", "growing"]).fit({"stages": stages}, as_of=AS_OF),
        actions=actions,
        capacity={"manager_hours": 400, "budget": 20_000, "due_days": 30},
        consents=pd.DataFrame(columns=["partner_id", "purpose", "granted", "changed_at"]),
        preferences=pd.DataFrame(columns=["partner_id", "language", "channels", "topics", "avoid"]),
        as_of=AS_OF,
    )
    assert len(plan) == actions[name].seats and set(plan["action"]) == {name}
    assert plan["expected_gain"].isna().all()


def test_keys_of_a_rule_are_those_of_the_page():
    told = [name for row in find_rows("journey.md", "key of a rule") for name in row[0].split(", ")]
    assert sorted(told) == sorted(field.name for field in fields(Rule))


def test_optional_columns_make_the_features_that_their_factors_look_at():
    factors = {row.factor: row.features for row in load_params(ROOT / "params").rating.factors}
    rows = find_rows("data.md", "table | column")
    assert len(rows) == 5
    for table, column, _, feature, factor in rows:
        assert not TABLES[table].column(column).required
        assert feature in factors[factor]
    assert "conflict" in TABLES["tickets"].column("kind").choices and "conflicts_365d" in factors["teamwork"]


def test_columns_for_the_crm_are_those_that_are_written(tmp_path):
    page = PAGES["hand_over.md"]
    for form in ("hubspot", "salesforce"):
        receipt = hand_over(make_steps(), consent(), as_of=AS_OF, form=form, to=str(tmp_path / form))
        head = (tmp_path / form / receipt.file).read_text(encoding="utf-8").splitlines()[0].split(",")
        assert [column for column in head if f"`{column}`" not in page] == []
        assert receipt.file.startswith("next_steps-0001-2026-06-30")
    custom = {name for row in find_rows("hand_over.md", "column | what it is") for name in row[0].split(", ")}
    assert custom == {name for name in head if name.endswith("__c")}
    said = {name for row in find_rows("hand_over.md", "says | means") for name in row[0].split(", ")}
    assert said == {field.name for field in fields(Receipt)} - {"form", "as_of"}
    assert {row[0].partition(" ")[0] for row in find_rows("hand_over.md", "form | what")} == {*FORMS, "postgresql"}
    assert "step_id" in TOLD


def test_reasons_to_leave_a_partner_out_are_those_of_the_page(tmp_path):
    said = {"p1": ["marketing-"], "p2": ["marketing+", "navigation-"], "p3": ["marketing+", "analytics-"]}
    receipt = hand_over(make_steps(), consent(**said), as_of=AS_OF, form="hubspot", to=str(tmp_path))
    late = consent().assign(granted=[True, True, False], changed_at=pd.Timestamp("2026-01-05"))
    late = pd.concat([consent(), late.tail(1).assign(changed_at=pd.Timestamp("2026-07-01"))])
    other = hand_over(make_steps(external_id=""), late, as_of=AS_OF, form="hubspot", to=str(tmp_path / "later"))
    assert {*receipt.left_out, *other.left_out} == {row[0] for row in find_rows("hand_over.md", "reason | the partner")}


def test_who_pauses_and_resumes_on_the_page_is_willing_again():
    import pandas as pd

    from partnerseg.programme.consent import consent_at

    rows = pd.DataFrame(
        find_rows("journey.md", "partner_id | purpose"), columns=["partner_id", "purpose", "granted", "at"]
    )
    rows = rows.assign(granted=rows["granted"] == "true", changed_at=pd.to_datetime(rows["at"]))
    said = [bool(consent_at(rows, day).loc["P000001", "navigation"]) for day in ("2026-06-14", "2026-06-15")]
    assert said == [False, True]


def test_links_lead_somewhere():
    seen = 0
    for name, text in {"README.md": README, **{f"docs/{page}": text for page, text in PAGES.items()}}.items():
        for link, anchor in re.findall(r"\]\(([\w./-]+)(?:#([\w-]+))?\)", text):
            target = (ROOT / name).parent / link
            assert target.is_file(), f"{name}: {link}"
            heads = (
                [head.lower().replace(" ", "-") for head in re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.M)]
                if anchor
                else []
            )
            assert not anchor or anchor in heads, f"{name}: {link}#{anchor}"
            seen += 1
        for path in re.findall(r"`((?:src|params|benchmarks|docs|notebooks)/[\w./-]+)`", text):
            assert (ROOT / path).exists() or path.endswith("/mine"), f"{name}: {path}"
    assert seen > 5


def test_the_mapping_of_the_page_is_read(tmp_path):
    (block,) = find_blocks("data.md", "")
    (tmp_path / "german.yaml").write_text(block, encoding="utf-8")
    sources = read_mapping(tmp_path / "german.yaml", read_yaml(tmp_path / "german.yaml"))
    assert [source.table.name for source in sources] == ["partners", "consents", "sales"]
