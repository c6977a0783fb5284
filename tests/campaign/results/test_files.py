from __future__ import annotations

import pytest

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.campaign.results.files import ResultFiles, read_results
from airflow_provider_omnichat.campaign.results.format import COLUMNS
from tests.support.reasons import why
from tests.support.result_files import lines, names
from tests.support.result_rows import give, key_of, made

FULL = made(
    3,
    Outcome.REJECTED,
    message_id="m-3",
    status_id=52,
    status_group=5,
    status_name="REJECTED_DESTINATION",
    message_count=2,
    attempts=1,
    reason=why('Invalid, "really"', ReasonCode.HTTP_REJECTED),
)


def test_it_is_a_place(files):
    sink: Place = files()
    assert sink.location


def test_rows_are_read_back_as_they_were_written(files, directory):
    results = [made(1), FULL, made(2, Outcome.INVALID, to="+41 (0)79 x", key=None, reason=why("to: has letters"))]
    sink = files()
    sink.write(give(*results[:2]))
    sink.write([(None, results[2])])
    sink.close(whole=True)
    assert sorted(read_results(directory), key=lambda row: row.position) == [results[0], results[2], FULL]


def test_the_columns_stand_in_their_order_after_the_users_key(files, directory):
    sink = files()
    sink.write(give(FULL))
    sink.close(whole=True)
    (row,) = lines(directory)
    assert tuple(row) == ("customer_id", *COLUMNS)
    assert {name: str(value) for name, value in row.items()} == {
        "customer_id": "c3",
        "to": "41793020003",
        "outcome": "rejected",
        "message_id": "m-3",
        "status_group": "5",
        "status_id": "52",
        "status_name": "REJECTED_DESTINATION",
        "message_count": "2",
        "attempts": "1",
        "reason_code": "http_rejected",
        "error": 'Invalid, "really"',
        "at": "2026-07-30T12:00:00.250+00:00",
        "row": "3",
    }


def test_without_a_key_column_there_is_none(files, directory):
    sink = files(key_column=None)
    sink.write(give(made(1, key=None)))
    sink.close(whole=True)
    assert tuple(lines(directory)[0]) == COLUMNS
    assert list(read_results(directory)) == [made(1, key=None)]


def test_a_key_column_that_would_hide_another_is_refused(files):
    with pytest.raises(ValueError, match="'to'"):
        files(key_column="to")
    with pytest.raises(ValueError, match="xlsx"):
        files(format="xlsx")


def test_nothing_is_made_before_there_is_a_row(files, directory):
    sink = files()
    assert sink.earlier() == {}
    sink.write([])
    sink.close(whole=True)
    assert not directory.exists()
    assert list(read_results(directory)) == []


def test_a_later_try_keeps_what_was_decided_and_writes_the_rest_anew(files, directory):
    first = files(1)
    first.write(give(made(1), made(2, Outcome.REJECTED), made(3, Outcome.NOT_SENT), made(4, Outcome.UNKNOWN)))
    first.close(whole=True)
    sent_before = {name for name in names(directory) if name.startswith("sent-try-1-")}
    second = files(2)
    earlier = second.earlier()
    assert dict(earlier) == {key_of("41793020001"): Outcome.ACCEPTED, key_of("41793020002"): Outcome.REJECTED}
    second.write(give(made(3), made(4, Outcome.UNKNOWN, attempts=0)))
    second.close(whole=True)
    assert sorted(int(row["row"]) for row in lines(directory)) == [1, 2, 3, 4]
    assert sent_before < set(names(directory))
    assert {row.position: row.outcome for row in read_results(directory)} == {
        1: Outcome.ACCEPTED,
        2: Outcome.REJECTED,
        3: Outcome.ACCEPTED,
        4: Outcome.UNKNOWN,
    }


def test_a_try_that_did_not_see_the_whole_list_leaves_what_the_one_before_wrote(files, directory):
    first = files(1)
    first.write(give(made(1, Outcome.NOT_SENT), made(2, Outcome.NOT_SENT, reason=why("old"))))
    first.close(whole=True)
    second = files(2)
    second.write(give(made(1, Outcome.UNKNOWN)))
    second.close(whole=False)
    found = {row.position: (row.outcome, row.error) for row in read_results(directory)}
    assert found == {1: (Outcome.UNKNOWN, None), 2: (Outcome.NOT_SENT, "old")}
    third = files(3)
    third.write(give(made(1), made(2, Outcome.NOT_SENT, reason=why("new"))))
    third.close(whole=True)
    assert sorted(int(row["row"]) for row in lines(directory)) == [1, 2]


def test_a_row_that_was_sent_by_a_try_that_crashed_reads_as_sent(files, directory):
    first = files(1)
    first.write(give(made(1, Outcome.NOT_SENT), made(2, Outcome.NOT_SENT)))
    first.close(whole=True)
    files(2).write(give(made(1)))
    crashed = files(3)
    crashed.write(give(made(2)))
    crashed.close(whole=False)
    read = {row.position: row.outcome for row in read_results(directory)}
    assert read[2] is Outcome.ACCEPTED
    # On object storage the first process had not sent its part when it was forgotten.
    assert read[1] is (Outcome.ACCEPTED if not hasattr(directory, "protocol") else Outcome.NOT_SENT)


def test_the_same_try_number_again_overwrites_nothing(files, directory):
    for count in (1, 2, 3):
        again = files(1)
        assert len(again.earlier()) == count - 1
        again.write(give(made(count), made(10, Outcome.NOT_SENT, attempts=count)))
        again.close(whole=True)
    assert sorted(row.position for row in read_results(directory)) == [1, 2, 3, 10]
    assert [row.attempts for row in read_results(directory) if row.position == 10] == [3]


def test_two_that_begin_at_the_same_moment_write_to_different_files(files, directory):
    both = files(1), files(1)
    assert [one.earlier() for one in both] == [{}, {}]
    for number, one in enumerate(both, 1):
        one.write(give(made(number), made(number + 10, Outcome.UNKNOWN)))
    for one in both:
        one.close()
    assert sorted(row.position for row in read_results(directory)) == [1, 2, 11, 12]


def test_a_slow_process_of_an_earlier_try_removes_nothing_of_a_later_one(files, directory):
    slow = files(1)
    slow.write(give(made(1, Outcome.NOT_SENT)))
    slow.close(whole=False)
    later = files(2)
    later.write(give(made(1, Outcome.UNKNOWN)))
    later.close(whole=True)
    slow.close()
    assert [row.outcome for row in read_results(directory)] == [Outcome.UNKNOWN]


def test_other_files_in_the_directory_are_left_alone(files, directory):
    first = files(1)
    first.write(give(made(1, Outcome.NOT_SENT)))
    first.close(whole=True)
    for name in ("notes.jsonl", "rest-of-my-data.csv", "rest-try-1.jsonl"):
        with (directory / name).open("w") as file:
            file.write("mine")
    second = files(2)
    assert second.earlier() == {}
    second.write(give(made(1)))
    second.close(whole=True)
    assert {"notes.jsonl", "rest-of-my-data.csv", "rest-try-1.jsonl"} < set(names(directory))
    assert len(list(read_results(directory))) == 1


def test_a_try_in_another_format_knows_the_earlier_ones(directory):
    for number, format in enumerate(["csv", "jsonl", "csv"], 1):
        one = ResultFiles(directory, format=format, try_number=number, recipient_of=key_of, key_column=None)  # type: ignore[arg-type]
        assert len(one.earlier()) == number - 1
        one.write(give(made(number, key=None)))
        one.close()
    assert sorted(row.position for row in read_results(directory)) == [1, 2, 3]


def test_rows_of_a_list_that_changed_between_tries_are_all_given(files, directory):
    for number, to in ((1, "41793020001"), (2, "41793020002")):
        one = files(number)
        one.write(give(made(1, to=to)))
        one.close()
    assert sorted(row.to for row in read_results(directory)) == ["41793020001", "41793020002"]
