import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.edition import EditionBusy
from partnerseg.hand_over import STATE, TOLD, _hold, hand_over

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


def over(folder, steps, consents=None, form="jsonl", as_of=AS_OF):
    return hand_over(steps, consent() if consents is None else consents, as_of=as_of, form=form, to=str(folder))


def read_lines(folder, receipt):
    return [json.loads(line) for line in (Path(folder) / receipt.file).read_text(encoding="utf-8").splitlines()]


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


def test_a_refusal_after_the_date_of_the_plan_counts(tmp_path):
    late = consent()
    late.loc[len(late)] = ["p1", "marketing", False, pd.Timestamp("2026-07-01")]
    receipt = over(tmp_path, make_steps(), late)
    assert receipt.planned == 2 and receipt.left_out == {"withdrawn_since": 1}


def test_who_cannot_be_found_in_the_system_is_left_out(tmp_path):
    assert over(tmp_path / "hubspot", make_steps(external_id=""), form="hubspot").left_out == {"no_key": 1}
    assert over(tmp_path / "jsonl", make_steps(external_id="")).left_out == {}


def test_a_hand_over_that_is_killed_is_done_again_into_the_same_file(tmp_path, monkeypatch):
    from partnerseg import hand_over as module

    write = module.write_file

    def die(path, content):
        if path.name == STATE:
            raise KeyboardInterrupt
        return write(path, content)

    monkeypatch.setattr(module, "write_file", die)
    with pytest.raises(KeyboardInterrupt):
        over(tmp_path, make_steps())
    monkeypatch.setattr(module, "write_file", write)
    receipt = over(tmp_path, make_steps())
    assert receipt.planned == 3 and len(list(tmp_path.glob("*.jsonl"))) == 1


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
    with pytest.raises(
        ValueError, match="form == 'excel'; possible values are: hubspot, salesforce, jsonl, postgresql"
    ):
        over(tmp_path, make_steps(), form="excel")


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


def test_without_a_database_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("TEST_HAND_OVER", raising=False)
    with pytest.raises(ValueError, match="environment variable TEST_HAND_OVER is not set"):
        over("TEST_HAND_OVER", make_steps(), form="postgresql")
    monkeypatch.setenv("TEST_HAND_OVER", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(ValueError, match="partnerseg_next_steps: the database says: "):
        over("TEST_HAND_OVER", make_steps(), form="postgresql")
