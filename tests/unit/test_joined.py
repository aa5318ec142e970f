"""What was written over several lines is read as it would be in one; a line that is cut takes no other with it."""

import json
from pathlib import Path

import pytest

from model.formats import NAMES
from stream.joined import joined, quoted
from stream.loglines import Subject, log_file
from stream.validate import Verdict, judge
from tests.formats import EXAMPLES

NOW_MS = 1_767_312_000_000


def judged(tmp_path: Path, form: str, content: str, subject: Subject = "events") -> Verdict:
    path = tmp_path / "log"
    path.write_text(content)
    return judge(log_file(path), form, subject)


def numbered(*lines: str) -> list[tuple[int, bytes]]:
    return [(number, line.strip().encode()) for number, line in enumerate(lines, 1)]


WAYS = {
    "indented": lambda values: "\n".join(json.dumps(value, indent=2) for value in values),
    "indented, a comma behind each": lambda values: ",\n".join(json.dumps(value, indent=4) for value in values),
    "an indented list": lambda values: json.dumps(values, indent=2),
    "a list in one line": json.dumps,
    "a list, a value a line": lambda values: "[\n" + ",\n".join(map(json.dumps, values)) + "\n]",
    "a list that begins with its first value": lambda values: "[" + ",\n".join(map(json.dumps, values)) + "]",
    "from Windows": lambda values: "\ufeff" + "\r\n".join(map(json.dumps, values)) + "\r\n",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", NAMES)
def test_values_are_what_they_are_in_a_line_each(form: str, way: str, tmp_path: Path) -> None:
    values = [example.record for example in EXAMPLES if example.form == form and isinstance(example.record, dict)]
    plain = judged(tmp_path, form, "\n".join(map(json.dumps, values)))
    read = judged(tmp_path, form, WAYS[way](values))
    assert plain.rejected == read.rejected == 0
    assert plain.accepted == read.accepted > 0
    assert (plain.kinds, plain.passed_over, plain.with_item) == (read.kinds, read.passed_over, read.with_item)


def test_a_value_has_the_number_of_its_first_line() -> None:
    assert list(joined(iter(numbered("{", '"a": 1', "}", '{"b": 2}', "{", '"c": [', "3", "]", "}")))) == [
        (1, b'{\n"a": 1\n}'),
        (4, b'{"b": 2}'),
        (5, b'{\n"c": [\n3\n]\n}'),
    ]


def test_brackets_in_a_string_open_nothing() -> None:
    assert list(joined(iter(numbered('{"a": "}",', '"b": "\\"{["', "}", "{}")))) == [
        (1, b'{"a": "}",\n"b": "\\"{["\n}'),
        (4, b"{}"),
    ]


def test_a_line_that_is_cut_takes_no_other_with_it() -> None:
    whole = '{"a": 1}'
    for cut in ('{"a": 1,', '{"a": {', "{", '{"a": 1, "b', '{"a": 1, "b": "x'):
        assert list(joined(iter(numbered(cut, whole, whole)))) == numbered(cut, whole, whole)
    assert list(joined(iter(numbered(whole, '{"a": [')))) == numbered(whole, '{"a": [')


def test_a_quoted_cell_may_go_over_lines_and_a_quote_that_never_closes_takes_no_row_with_it() -> None:
    row = "u,i,1767312000,view"
    lines = numbered('u,i,1767312000,"view', "", 'of it"', row, 'u,i,"1', row, row)
    assert list(quoted(iter(lines))) == [
        (1, b'u,i,1767312000,"view\n\nof it"'),
        (4, row.encode()),
        (5, b'u,i,"1'),
        (6, row.encode()),
        (7, row.encode()),
    ]


def test_an_element_that_is_no_object_is_rejected_alone(tmp_path: Path) -> None:
    value = '{"user_id": "u", "item_id": "i", "type": "view", "timestamp": 1767312000}'
    verdict = judged(tmp_path, "common", f"[{value}, 7, {value}]")
    assert (verdict.accepted, verdict.rejected) == (2, 1)
    assert verdict.offenders[0].detail == "not a JSON object: 7"


def test_a_line_of_brackets_takes_no_other_with_it(tmp_path: Path) -> None:
    value = json.dumps({"user_id": "u", "item_id": "i", "type": "click", "timestamp": 1_700_000_000})
    for stray in ("[[[[", "[[", "[" * 5000, "]]", "[{", '[["a",'):
        verdict = judged(tmp_path, "common", "\n".join([value, stray, *[value] * 5]))
        assert (verdict.accepted, verdict.rejected) == (6, 1), stray[:9]
