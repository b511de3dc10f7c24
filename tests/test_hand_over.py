import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.edition import EditionBusy, write_file
from partnerseg.hand_over import STATE, TOLD, _hold, check_place, hand_over, list_steps
from partnerseg.params import load_params

AS_OF = "2026-06-30"


def make_steps(**changes):
    """Steps of three partners; `changes` are columns of p1, or None to leave it without a step."""
    rows = {}
    for partner_id in ("p1", "p2", "p3"):
        rows[partner_id] = {name: f"{name} of {partner_id}" for name in TOLD if name not in ("status", "partner_id")}
        rows[partner_id] |= {"step_id": f"s-{partner_id}", "due_on": "2026-07-30", "title": "Вітальний дзвінок"}
    rows["p1"] |= changes
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("partner_id")


def consent(**said):
    """Rows of `consents`: p1=["marketing+", "navigation-"] grants one and withdraws the other; the others grant."""
    rows = []
    for partner_id in ("p1", "p2", "p3"):
        for word in said.get(partner_id, ["marketing+"]):
            rows.append((partner_id, word[:-1], word[-1] == "+", pd.Timestamp("2026-01-05")))
    return pd.DataFrame(rows, columns=["partner_id", "purpose", "granted", "changed_at"])


def over(folder, steps, consents=None, form="jsonl", as_of=AS_OF, **options):
    said = consent() if consents is None else consents
    return hand_over(steps, said, as_of=as_of, form=form, to=str(folder), **options)


def read_lines(folder, receipt):
    return [json.loads(line) for line in (Path(folder) / receipt.file).read_text(encoding="utf-8").splitlines()]


def read_table(folder, receipt):
    text = (Path(folder) / receipt.file).read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WRITTEN = {
    "hubspot": {"external_id", "name", "title", "instructions", "channel", "language", "topic", "owner", "stage"},
    "salesforce": {"step_id", "external_id", "title", "instructions", "channel", "language", "topic", "owner"},
    "jsonl": {name for name in TOLD if name not in ("partner_id", "status", "reason", "due_on")},
}
FIELDS = sorted(WRITTEN["jsonl"] | {"reason"})


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("name", FIELDS)
def test_a_row_goes_again_if_and_only_if_what_is_written_of_it_has_changed(tmp_path, form, name):
    """A reason tells of days, which pass: it goes along with a change and makes none."""
    over(tmp_path, make_steps(), form=form)
    first = read_all(tmp_path)
    receipt = over(tmp_path, make_steps(**{name: "another"}), form=form)
    written = name in WRITTEN[form]
    assert (receipt.changed, receipt.unchanged, bool(receipt.file)) == (int(written), 3 - written, written)
    if written:
        assert "another" in (tmp_path / receipt.file).read_text(encoding="utf-8")
    else:
        assert read_all(tmp_path) == first


def make_models(identities, languages=("uk", "zz", None)):
    """Models with a plan of three partners and nothing else."""
    index = pd.Index(["p1", "p2", "p3"], name="partner_id")
    words = dict.fromkeys(["name", "region", "reason", "channel", "topic", "owner"], "x") | {"stage": "recruited"}
    plan = pd.DataFrame(words | {"action": "welcome_call", "title": "Welcome call"}, index=index)
    plan = plan.assign(language=languages, due_at=pd.Timestamp("2026-07-30"))
    tables = {"plan": plan, "partners": pd.DataFrame({"segment_name": ["Agents", None, "Agents"]}, index=index)}
    return SimpleNamespace(
        params=load_params(Path(__file__).parents[1] / "params"),
        programme=SimpleNamespace(frame={"identities": identities}.__getitem__),
        table=lambda name, region: tables[name],
    )


KEYS = pd.DataFrame(
    [("crm", "K2", "p1"), ("crm", "K1", "p1"), ("web", "K0", "p1"), ("web", "K5", "p2"), ("crm", "K3", "p3")],
    columns=["source", "source_id", "partner_id"],
)


def test_a_step_is_told_in_the_language_of_the_partner_or_english_and_says_which():
    steps = list_steps(make_models(KEYS))
    assert steps["language"].tolist() == ["uk", "en", "en"]
    assert steps["title"].tolist() == ["Вітальний дзвінок", "Welcome call", "Welcome call"]
    assert steps["segment"].tolist() == ["Agents", "", "Agents"]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_key_is_that_of_the_crm_whatever_the_order_of_rows(order):
    assert list_steps(make_models(KEYS[order]))["external_id"].to_dict() == {"p1": "K1", "p2": "", "p3": "K3"}


def test_a_source_of_keys_that_is_not_there_is_refused_and_without_keys_there_are_none():
    with pytest.raises(ValueError) as caught:
        list_steps(make_models(KEYS[KEYS["source"] == "web"]))
    for word in ("hand_over.source == 'crm'", "must be a source of the table identities, web, or empty", "edit it in"):
        assert word in str(caught.value)
    assert list_steps(make_models(KEYS.head(0)))["external_id"].tolist() == ["", "", ""]


def test_a_step_is_the_same_as_long_as_partner_stage_and_action_are():
    first, again = list_steps(make_models(KEYS)), list_steps(make_models(KEYS.head(0), languages=["ru", "en", "uk"]))
    assert first["step_id"].tolist() == again["step_id"].tolist() and first["step_id"].is_unique
    assert first["step_id"].str.fullmatch("[0-9a-f]{16}").all()


def test_a_task_that_is_planned_or_told_otherwise_is_open(tmp_path):
    first = over(tmp_path, make_steps(), form="salesforce")
    assert {row["Status"] for row in read_table(tmp_path, first)} == {"Not Started"}
    [row] = read_table(tmp_path, over(tmp_path, make_steps(title="another"), form="salesforce"))
    assert (row["Partnerseg_Step__c"], row["Status"], row["Subject"]) == ("s-p1", "Not Started", "another")


@pytest.mark.parametrize("form", ["hubspot", "salesforce", "jsonl"])
def test_handing_over_twice_changes_nothing(tmp_path, form):
    first = over(tmp_path, make_steps(), form=form)
    assert (first.number, first.planned, first.unchanged) == (1, 3, 0)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = over(tmp_path, make_steps(), form=form)
    assert (again.number, again.planned, again.changed, again.withdrawn, again.unchanged) == (1, 0, 0, 0, 3)
    assert again.file == "" and {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_only_what_changed_goes_again(tmp_path):
    over(tmp_path, make_steps())
    receipt = over(tmp_path, make_steps(channel="phone"))
    assert (receipt.number, receipt.planned, receipt.changed, receipt.unchanged) == (2, 0, 1, 2)
    [row] = read_lines(tmp_path, receipt)
    assert (row["partner_id"], row["status"], row["channel"]) == ("p1", "changed", "phone")
    assert json.loads((tmp_path / receipt.file.replace(".jsonl", ".receipt.json")).read_text())["changed"] == 1


def test_a_step_that_stands_keeps_the_day_it_was_due(tmp_path):
    """Planned anew a month later the same step is not due a month later; another step is."""
    over(tmp_path, make_steps())
    later = make_steps().assign(due_on="2026-08-30")
    assert over(tmp_path, later, as_of="2026-07-31").unchanged == 3
    [row] = read_lines(tmp_path, over(tmp_path, later.assign(step_id=["s-new", "s-p2", "s-p3"])))
    assert row["due_on"] == "2026-08-30"


def test_days_that_pass_are_no_change(tmp_path):
    over(tmp_path, make_steps(reason="In stage recruited for 3 days."))
    assert over(tmp_path, make_steps(reason="In stage recruited for 10 days.")).unchanged == 3


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "no_consent"),
        (["marketing-"], "no_consent"),
        (["navigation+"], "no_consent"),
        (["marketing+", "navigation-"], "paused"),
        (["marketing+", "analytics-"], "analytics_withdrawn"),
    ],
)
def test_who_does_not_consent_is_not_handed_over(tmp_path, said, reason):
    receipt = over(tmp_path, make_steps(), consent(p1=said))
    assert receipt.left_out == {reason: 1} and receipt.planned == 2
    assert "of p1" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_who_refuses_later_is_taken_back_once_with_nothing_but_the_keys(tmp_path):
    over(tmp_path, make_steps())
    paused = consent(p1=["marketing+", "navigation-"])
    receipt = over(tmp_path, make_steps(), paused)
    [row] = read_lines(tmp_path, receipt)
    assert receipt.withdrawn == 1 and {name for name in TOLD if row[name]} == {
        "step_id", "status", "partner_id", "external_id"
    }  # fmt: skip
    assert over(tmp_path, make_steps(), paused).withdrawn == 0
    resumed = over(tmp_path, make_steps())
    assert resumed.planned == 1 and read_lines(tmp_path, resumed)[0]["step_id"] == row["step_id"]


def test_a_partner_without_a_step_any_more_is_taken_back(tmp_path):
    over(tmp_path, make_steps())
    assert over(tmp_path, make_steps().drop(index="p2")).withdrawn == 1


@pytest.mark.parametrize("form", ["hubspot", "salesforce"])
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", " =", "\u200b=", "\ufeff@"])
def test_no_cell_is_a_formula(tmp_path, form, start):
    bad = f'{start}cmd|"/c calc",1\nsecond line'
    receipt = over(tmp_path, make_steps(title=bad, reason=bad, instructions=bad, name=bad), form=form)
    rows = list(csv.DictReader(io.StringIO((tmp_path / receipt.file).read_bytes().decode("utf-8"), newline="")))
    assert len(rows) == 3
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r")]
    assert f"'{bad}" in rows[0].values()


def test_hubspot_finds_the_company_by_its_record_id_and_salesforce_the_task_by_an_external_id(tmp_path):
    hubspot = over(tmp_path / "hubspot", make_steps(), form="hubspot")
    [first, *_] = csv.DictReader((tmp_path / "hubspot" / hubspot.file).open(encoding="utf-8"))
    assert first["Record ID"] == "external_id of p1" and first["Next step"] == "Вітальний дзвінок"
    over(tmp_path / "salesforce", make_steps(), form="salesforce")
    receipt = over(tmp_path / "salesforce", make_steps().drop(index="p1"), form="salesforce")
    [task] = csv.DictReader((tmp_path / "salesforce" / receipt.file).open(encoding="utf-8"))
    assert (task["Partnerseg_Step__c"], task["Status"], task["Subject"]) == ("s-p1", "Deferred", "")


def test_a_task_that_gives_way_to_another_is_deferred_and_nothing_of_who_refuses_stays_open(tmp_path):
    """What stands in the CRM after each hand-over, by the task's own id."""
    tasks = {}

    def replay(receipt):
        for row in csv.DictReader((tmp_path / receipt.file).open(encoding="utf-8")):
            tasks[row["Partnerseg_Step__c"]] = row["Status"]

    replay(over(tmp_path, make_steps(), form="salesforce"))
    replay(over(tmp_path, make_steps(step_id="s-new"), form="salesforce"))
    assert (tasks["s-p1"], tasks["s-new"]) == ("Deferred", "Not Started")
    replay(over(tmp_path, make_steps(step_id="s-new"), consent(p1=["marketing-"]), form="salesforce"))
    assert (tasks["s-p1"], tasks["s-new"], tasks["s-p2"]) == ("Deferred", "Deferred", "Not Started")


def say_later(*said):
    """Consents of which p1 says more after the date of the plan: (purpose, granted, day)."""
    later = [("p1", purpose, granted, pd.Timestamp(day).as_unit("us")) for purpose, granted, day in said]
    first = consent().astype({"changed_at": "datetime64[us]"})
    return pd.concat([first, pd.DataFrame(later, columns=first.columns)], ignore_index=True)


@pytest.mark.parametrize("purpose", ["marketing", "navigation", "analytics"])
@pytest.mark.parametrize("day", ["2026-07-01", "2099-06-01", "2199-12-31", "2500-01-01"])
def test_a_refusal_after_the_date_of_the_plan_counts_whenever_it_is(tmp_path, purpose, day):
    refused = say_later((purpose, False, day))
    receipt = over(tmp_path / "first", make_steps(), refused)
    assert receipt.planned == 2 and receipt.left_out == {"withdrawn_since": 1}
    over(tmp_path / "then", make_steps())
    then = over(tmp_path / "then", make_steps(), refused)
    assert (then.withdrawn, then.unchanged, then.left_out) == (1, 2, {"withdrawn_since": 1})
    assert over(tmp_path / "then", make_steps(), refused).withdrawn == 0


def test_who_refuses_and_grants_again_after_the_date_of_the_plan_stays(tmp_path):
    over(tmp_path, make_steps())
    again = say_later(("marketing", False, "2026-07-01"), ("marketing", True, "2026-07-02"))
    assert over(tmp_path, make_steps(), again).unchanged == 3
    first = say_later(("marketing", True, "2026-07-01"), ("marketing", False, "2026-07-02"))
    assert over(tmp_path, make_steps(), first).withdrawn == 1


def test_a_grant_after_the_date_of_the_plan_is_none_yet(tmp_path):
    refused = consent().assign(granted=[False, True, True])
    refused.loc[3] = ["p1", "marketing", True, pd.Timestamp("2026-07-01")]
    assert over(tmp_path, make_steps(), refused).left_out == {"no_consent": 1}
    assert over(tmp_path, make_steps(), refused, as_of="2026-07-01").planned == 1


@pytest.mark.parametrize("form", ["hubspot", "salesforce"])
@pytest.mark.parametrize("key", ["=1+1", "+380441234567", "-17", "@blue", "\t5", "\r5", " =5", "\uff1d5"])
def test_a_key_that_looks_like_a_formula_is_neither_changed_nor_written(tmp_path, form, key):
    own = over(tmp_path / "theirs", make_steps(external_id=key), form=form)
    assert own.left_out == {"formula_key": 1} and own.planned == 2
    assert json.loads((tmp_path / "theirs" / own.file.replace(".csv", ".receipt.json")).read_text())["left_out"] == {
        "formula_key": 1
    }
    steps, said = make_steps().rename(index={"p1": key}), consent().replace({"partner_id": {"p1": key}})
    ours = over(tmp_path / "ours", steps, said, form=form)
    assert ours.left_out == {"formula_key": 1} and ours.planned == 2
    for folder, receipt in (("theirs", own), ("ours", ours)):
        cells = [cell for row in read_table(tmp_path / folder, receipt) for cell in row.values()]
        assert not [cell for cell in cells if key.strip() in cell]


@pytest.mark.parametrize("form", ["hubspot", "salesforce"])
@pytest.mark.parametrize("key", ["0017", "1e5", "001A0000003DHPA", "Київ;7", 'a "b", c', "'5", "5 ", "a\r\nb", "5=5"])
def test_every_other_key_comes_through_as_it_is(tmp_path, form, key):
    steps, said = make_steps(external_id=key).rename(index={"p1": key}), consent().replace({"partner_id": {"p1": key}})
    [row, *_] = read_table(tmp_path, over(tmp_path, steps, said, form=form))
    names = ("Record ID", "Partner ID") if form == "hubspot" else ("WhatId", "Partner_ID__c")
    assert [row[name] for name in names] == [key, key]
    read = pd.read_csv(tmp_path / "next_steps-0001-2026-06-30.csv", dtype=str, keep_default_na=False)
    assert read.loc[0, list(names)].tolist() == [key, key]


def test_lines_are_no_spreadsheet_and_hold_all_text_as_it_is(tmp_path):
    said = consent().replace({"partner_id": {"p1": "@p1"}})
    steps = make_steps(external_id="=1", title="=2+2").rename(index={"p1": "@p1"})
    [row, *_] = read_lines(tmp_path, over(tmp_path, steps, said))
    assert (row["partner_id"], row["external_id"], row["title"]) == ("@p1", "=1", "=2+2")


def test_a_key_that_becomes_a_formula_is_taken_back_under_the_one_before(tmp_path):
    over(tmp_path, make_steps(), form="hubspot")
    receipt = over(tmp_path, make_steps(external_id="=1"), form="hubspot")
    [row] = read_table(tmp_path, receipt)
    assert (row["Record ID"], row["Next step status"]) == ("external_id of p1", "withdrawn")
    assert receipt.left_out == {"formula_key": 1}


def test_a_state_that_kept_a_key_like_a_formula_writes_none(tmp_path):
    over(tmp_path, make_steps(), form="hubspot")
    state = json.loads((tmp_path / STATE).read_text())
    state["partners"]["p1"]["external_id"] = "=1"
    (tmp_path / STATE).write_text(json.dumps(state))
    receipt = over(tmp_path, make_steps().drop(index=["p1", "p2"]), form="hubspot")
    assert [row["Partner ID"] for row in read_table(tmp_path, receipt)] == ["p2"]


def test_a_partner_under_another_key_leaves_nothing_open_under_the_old_one(tmp_path):
    """HubSpot knows the company by its record id: the old record is told that the step is gone, once."""
    over(tmp_path, make_steps(), form="hubspot")
    moved = make_steps(external_id="77")
    receipt = over(tmp_path, moved, form="hubspot")
    told = [(row["Record ID"], row["Next step status"], row["Next step"]) for row in read_table(tmp_path, receipt)]
    assert told == [("external_id of p1", "withdrawn", ""), ("77", "changed", "Вітальний дзвінок")]
    assert (receipt.changed, receipt.withdrawn) == (1, 0) and over(tmp_path, moved, form="hubspot").unchanged == 3


def test_a_key_that_another_partner_has_now_is_not_taken_back(tmp_path):
    over(tmp_path, make_steps(), form="hubspot")
    swapped = make_steps().assign(external_id=["external_id of p2", "external_id of p1", "external_id of p3"])
    told = read_table(tmp_path, over(tmp_path, swapped, form="hubspot"))
    assert [(row["Partner ID"], row["Next step status"]) for row in told] == [("p1", "changed"), ("p2", "changed")]
    taken_over = swapped.drop(index="p1").assign(external_id=["external_id of p2", "external_id of p3"])
    told = read_table(tmp_path, over(tmp_path, taken_over, form="hubspot"))
    assert [(row["Record ID"], row["Partner ID"], row["Next step status"]) for row in told] == [
        ("external_id of p1", "p2", "withdrawn"), ("external_id of p2", "p2", "changed")
    ]  # fmt: skip


def test_who_cannot_be_found_in_the_system_is_left_out(tmp_path):
    assert over(tmp_path / "hubspot", make_steps(external_id=""), form="hubspot").left_out == {"no_key": 1}
    assert over(tmp_path / "jsonl", make_steps(external_id="")).left_out == {}


def kill(monkeypatch, folder, steps, writes, form):
    """Hand over, killed after so many files were written, in the middle of the next."""
    from partnerseg import hand_over as module

    done = []

    def die(path, content):
        done.append(path)
        if len(done) > writes:
            path.with_name(f".{path.name}.77.part").write_bytes(content)
            raise KeyboardInterrupt
        return write_file(path, content)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(module, "write_file", die)
        over(folder, steps, form=form)


@pytest.mark.parametrize("form", ["hubspot", "salesforce", "jsonl"])
@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_hand_over_that_is_killed_leaves_nothing_of_who_refuses_then(tmp_path, monkeypatch, writes, form):
    """Whenever it is killed, and whatever the date of the next one, which may have nothing to change."""
    kill(monkeypatch, tmp_path, make_steps(), writes, form)
    receipt = over(tmp_path, make_steps(), consent(p1=["marketing-"]), form=form, as_of="2026-07-02")
    assert (receipt.number, receipt.planned, receipt.left_out) == (1, 2, {"no_consent": 1})
    assert not [path.name for path in tmp_path.iterdir() if "of p1" in path.read_text(encoding="utf-8")]

    before = {name: content for name, content in read_all(tmp_path).items() if name[0] != "."}
    kill(monkeypatch, tmp_path, make_steps(), writes, form)
    again = over(tmp_path, make_steps(), consent(p1=["marketing-"]), form=form, as_of="2026-07-03")
    assert (again.number, again.unchanged, again.file) == (1, 2, "")
    assert not [path.name for path in tmp_path.glob("*next_steps*") if "of p1" in path.read_text(encoding="utf-8")]
    assert {name for name in read_all(tmp_path) if name[0] != "."} == {*before}


def test_a_hand_over_that_is_killed_is_done_again_beside_the_files_before(tmp_path, monkeypatch):
    first = over(tmp_path, make_steps())
    kept = (tmp_path / first.file).read_bytes()
    kill(monkeypatch, tmp_path, make_steps(title="another"), 3, "jsonl")
    receipt = over(tmp_path, make_steps(title="another"))
    assert (receipt.number, receipt.changed, receipt.unchanged) == (2, 1, 2)
    assert (tmp_path / first.file).read_bytes() == kept and len(list(tmp_path.glob("*.jsonl"))) == 2
    assert "writing" not in json.loads((tmp_path / STATE).read_text())


def test_partners_with_one_key_are_left_out_where_it_is_the_record_and_nothing_of_them_stays(tmp_path):
    """A company of HubSpot holds one step; an account of Salesforce holds a task for each."""
    shared = make_steps(external_id="external_id of p2")
    first = over(tmp_path / "hubspot", shared, form="hubspot")
    assert (first.planned, first.left_out) == (1, {"shared_key": 2})
    own = over(tmp_path / "hubspot", shared, consent(p1=[]), form="hubspot")
    assert (own.planned, own.left_out) == (1, {"no_consent": 1})
    [row] = read_table(tmp_path / "hubspot", over(tmp_path / "hubspot", shared, form="hubspot"))
    assert (row["Record ID"], row["Partner ID"], row["Next step status"]) == ("external_id of p2", "p2", "withdrawn")
    for form in ("salesforce", "jsonl"):
        receipt = over(tmp_path / form, shared, form=form)
        assert (receipt.planned, receipt.left_out) == (3, {})


def test_a_key_that_two_partners_had_is_taken_back_in_one_row(tmp_path):
    over(tmp_path, make_steps(), form="hubspot")
    state = json.loads((tmp_path / STATE).read_text())
    state["partners"]["p1"]["external_id"] = "external_id of p2"
    (tmp_path / STATE).write_text(json.dumps(state))
    receipt = over(tmp_path, make_steps().drop(index=["p1", "p2"]), form="hubspot")
    assert receipt.withdrawn == 2 and [row["Record ID"] for row in read_table(tmp_path, receipt)] == [
        "external_id of p2"
    ]


def test_a_partner_twice_and_times_with_a_zone_are_refused(tmp_path):
    steps = make_steps()
    with pytest.raises(ValueError, match="steps: partner_id 'p1' stands there twice, must stand once; leave one row"):
        over(tmp_path / "none", pd.concat([steps, steps.head(1)]))
    for name in ("changed_at", "arrived_at"):
        said = consent().assign(**{name: pd.Timestamp("2026-01-05", tz="Europe/Kyiv")})
        with pytest.raises(ValueError) as caught:
            over(tmp_path / "none", steps, said)
        for word in (f"consents: {name} has the time zone Europe/Kyiv, must be in UTC without one", "tz_convert(None)"):
            assert word in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_two_at_a_time_do_not_mix(tmp_path):
    with _hold(tmp_path), pytest.raises(EditionBusy, match="another process is handing over"):
        over(tmp_path, make_steps())


def test_a_folder_of_another_form_or_a_broken_state_is_refused(tmp_path):
    over(tmp_path, make_steps())
    with pytest.raises(ValueError, match="was handed over as jsonl, not hubspot; give each system a folder"):
        over(tmp_path, make_steps(), form="hubspot")
    (tmp_path / STATE).write_text("{")
    with pytest.raises(ValueError, match=r"handed_over.json: tells what was handed over before and cannot be read"):
        over(tmp_path, make_steps())
    for refuse in (check_place, lambda form, to: over(to, make_steps(), form=form)):
        with pytest.raises(
            ValueError, match="form == 'excel'; possible values are: hubspot, salesforce, jsonl, postgresql"
        ):
            refuse("excel", str(tmp_path))


def test_the_command_refuses_a_form_or_place_before_it_fits_anything(tmp_path, capsys, monkeypatch):
    from partnerseg.cli import WRONG, main

    monkeypatch.delenv("TEST_HAND_OVER", raising=False)
    for form, words in (("excel", "form == 'excel'"), ("postgresql", "variable TEST_HAND_OVER is not set")):
        command = ["hand-over", "--params", str(tmp_path / "none"), "--form", form, "--to", "TEST_HAND_OVER"]
        assert main(command) == WRONG and words in capsys.readouterr().err


def break_state(change):
    """What stands in the state after a change of it, as bytes."""

    def write(state):
        change(state)
        return json.dumps(state).encode()

    return write


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda state: b"{", "line 1 is no JSON"),
        (lambda state: b"", "line 1 is no JSON"),
        (lambda state: b'{"form": "jsonl\xff"}', "byte 15 is not UTF-8"),
        (lambda state: b"[1]", "it must be an object"),
        (break_state(lambda state: state.pop("number")), "number is missing"),
        (break_state(lambda state: state.update(number="two")), "number == 'two', must be a whole number"),
        (break_state(lambda state: state.update(partners=[])), "partners == '[]', must be an object"),
        (break_state(lambda state: state["partners"]["p2"].pop("content")), "partner 'p2': content is missing"),
        (break_state(lambda state: state["partners"].update(p2="x")), "partner 'p2' == 'x', must be an object with"),
        (
            break_state(lambda state: state["partners"]["p2"].update(due_on=None)),
            "partner 'p2': due_on == None, must be text",
        ),
        (
            break_state(lambda state: state["partners"]["p2"].update(status="gone")),
            "status == 'gone', must be one of planned, changed, withdrawn",
        ),
        (
            break_state(lambda state: state["partners"]["p2"].update(partner_id="p9")),
            "partner 'p2': partner_id == 'p9', must be the same",
        ),
        *[
            (
                break_state(lambda state, name=name: state.update(writing=name)),
                f"writing == {str(name)!r}, must be the name",
            )
            for name in ("../params", "*", "next_steps-0001-2026-06-30*", "next_steps-0001-2026-06-30\n", "", None, 1)
        ],
    ],
)
def test_a_broken_state_says_where_and_what_and_nothing_is_lost(tmp_path, write, words):
    over(tmp_path, make_steps())
    (tmp_path / STATE).write_bytes(write(json.loads((tmp_path / STATE).read_text())))
    before = read_all(tmp_path)
    with pytest.raises(ValueError) as caught:
        over(tmp_path, make_steps(title="another"))
    for word in (f"{tmp_path / STATE}: ", words, "restore it from a copy", "Nothing was written"):
        assert word in str(caught.value)
    assert read_all(tmp_path) == before


@pytest.mark.parametrize("files", [1, 2, 3])
@pytest.mark.parametrize("as_of", [AS_OF, "2026-07-02"])
def test_without_its_state_a_hand_over_writes_over_no_older_file(tmp_path, files, as_of):
    for title in range(files):
        over(tmp_path, make_steps(title=str(title)))
    (tmp_path / STATE).unlink()
    before = read_all(tmp_path)
    anew = over(tmp_path, make_steps(title="another"), as_of=as_of)
    assert (anew.number, anew.planned) == (files + 1, 3)
    assert before.items() <= read_all(tmp_path).items()


@pytest.mark.parametrize("as_of", ["2026/06/30", "", "20260630", "2026-6-30", "30.06.2026", "2026-02-30", "2026-W26-2"])
def test_a_day_written_otherwise_is_refused(tmp_path, as_of):
    with pytest.raises(ValueError, match=rf"as_of == '{as_of}', must be a day written as YYYY-MM-DD"):
        over(tmp_path / "none", make_steps(), as_of=as_of)
    assert not (tmp_path / "none").exists()


def test_a_purpose_that_nobody_can_grant_is_refused(tmp_path):
    with pytest.raises(ValueError) as caught:
        over(tmp_path / "none", make_steps(), purpose="sales")
    for word in ("purpose == 'sales'", "must be one of analytics, marketing, navigation", "edit hand_over.purpose"):
        assert word in str(caught.value)
    assert not (tmp_path / "none").exists()
    assert over(tmp_path, make_steps(), consent(p1=["analytics+"]), purpose="analytics").left_out == {"no_consent": 2}


words = st.lists(st.sampled_from(["marketing+", "marketing-", "navigation-", "navigation+", "analytics-"]), max_size=4)


@settings(max_examples=60, deadline=None)
@given(turns=st.lists(st.tuples(words, words, st.booleans()), min_size=1, max_size=4))
def test_what_stands_outside_is_always_the_plan_of_those_who_consent(tmp_path_factory, turns):
    """Whatever partners say between hand-overs, the rows handed over so far add up to the plan of the willing."""
    folder, outside = tmp_path_factory.mktemp("over"), {}
    for first, second, planned in turns:
        steps, said = make_steps() if planned else make_steps().drop(index="p3"), consent(p1=first, p2=second)
        receipt = over(folder, steps, said)
        for row in read_lines(folder, receipt) if receipt.file else []:
            outside[row["partner_id"]] = row
        willing = {"p3"} & set(steps.index)
        for partner_id, told in {"p1": first, "p2": second}.items():
            last = {word[:-1]: word[-1] for word in sorted(told, key=lambda word: (told.index(word), word[-1] == "-"))}
            refused = {word[:-1] for word in told if word[-1] == "-"}
            if last.get("marketing") and not refused & {"marketing", "navigation", "analytics"}:
                willing.add(partner_id)
        assert {partner_id for partner_id, row in outside.items() if row["status"] != "withdrawn"} == willing


def test_the_table_in_postgresql_is_the_plan_and_twice_changes_nothing(postgres, monkeypatch):
    import psycopg

    monkeypatch.setenv("TEST_HAND_OVER", postgres)

    def read():
        with psycopg.connect(postgres) as connection:
            names = "partner_id, status, title, due_on, number, xmin::text"
            return connection.execute(f"select {names} from partnerseg_next_steps order by partner_id").fetchall()

    first = over("TEST_HAND_OVER", make_steps(), form="postgresql")
    before = read()
    assert first.planned == 3 and [row[:3] for row in before] == [
        (name, "planned", "Вітальний дзвінок") for name in ("p1", "p2", "p3")
    ]
    again = over("TEST_HAND_OVER", make_steps(), form="postgresql")
    assert again.unchanged == 3 and again.number == 1 and read() == before
    changed = over("TEST_HAND_OVER", make_steps(title="'); drop table x; --"), consent(p2=[]), form="postgresql")
    assert (changed.number, changed.changed, changed.withdrawn) == (2, 1, 1)
    assert [row[1:3] for row in read()] == [
        ("changed", "'); drop table x; --"),
        ("withdrawn", ""),
        ("planned", "Вітальний дзвінок"),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("alter table partnerseg_next_steps drop column content", "the column content is missing, must have step_id, "),
        (
            "update partnerseg_next_steps set status = 'gone' where partner_id = 'p2'",
            "partner 'p2': status == 'gone', must be one of planned, changed, withdrawn",
        ),
    ],
)
def test_a_table_that_is_not_ours_says_what_is_wrong_and_stays(postgres, monkeypatch, change, words):
    import psycopg

    monkeypatch.setenv("TEST_HAND_OVER", postgres)
    with psycopg.connect(postgres) as connection:
        connection.execute("drop table if exists partnerseg_next_steps")
    over("TEST_HAND_OVER", make_steps(), form="postgresql")
    with psycopg.connect(postgres) as connection:
        connection.execute(change)
        before = connection.execute("select * from partnerseg_next_steps order by partner_id").fetchall()
    with pytest.raises(ValueError) as caught:
        over("TEST_HAND_OVER", make_steps(title="another"), form="postgresql")
    for word in ("table partnerseg_next_steps: ", words, "rename it to hand everything over anew", "TEST_HAND_OVER"):
        assert word in str(caught.value)
    with psycopg.connect(postgres) as connection:
        assert connection.execute("select * from partnerseg_next_steps order by partner_id").fetchall() == before


def test_without_a_database_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("TEST_HAND_OVER", raising=False)
    with pytest.raises(ValueError, match="environment variable TEST_HAND_OVER is not set"):
        over("TEST_HAND_OVER", make_steps(), form="postgresql")
    monkeypatch.setenv("TEST_HAND_OVER", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(ValueError, match="partnerseg_next_steps: the database says: "):
        over("TEST_HAND_OVER", make_steps(), form="postgresql")
