from __future__ import annotations

import pytest

from fedsim.scenario.tree import nearest, plain
from fedsim.scenario.yaml_reader import MAX_BYTES, read, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("+7", 7),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-.inf", float("-inf")),
        ("null", None),
        ("TRUE", True),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("0b1", "0b1"),
        ("-", "-"),
        ("1e", "1e"),
        ("", None),
    ],
)
def test_unquoted_words_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_quoted_words_are_text() -> None:
    assert plain(read(b"a: '3'\nb: \"true\"\nc: |\n  1\nd: !!str 3\n", "f").root) == {  # type: ignore[arg-type]
        "a": "3",
        "b": "true",
        "c": "1\n",
        "d": "3",
    }


def test_every_value_knows_its_line_and_column() -> None:
    document = read("é: 1\nb:\n  - x\n  - {c: 2}\n".encode(), "f.yaml")
    assert document.root is not None
    places = [nearest(document.root, path).place for path in (["é"], ["b", "0"], ["b", "1", "c"])]
    assert [(place.line, place.column) for place in places] == [(1, 4), (3, 5), (4, 9)]


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert plain(read(b"\xef\xbb\xbfname: x\n", "f").root) == {"name": "x"}  # type: ignore[arg-type]


def test_line_ends_of_all_systems_are_understood() -> None:
    document = read(b"a: 1\r\nb: 2\r\n", "f")
    assert plain(document.root) == {"a": 1, "b": 2}  # type: ignore[arg-type]
    assert nearest(document.root, ["b"]).place.line == 2  # type: ignore[arg-type]


def test_aliases_repeat_values_and_merge_keys_yield_to_their_own() -> None:
    text = b"base: &b {x: 1, y: 2}\nlist: [*b, 3]\nown:\n  <<: *b\n  y: 5\nboth:\n  <<: [{y: 7}, *b]\n"
    document = read(text, "f")
    assert not document.problems
    found = plain(document.root)  # type: ignore[arg-type]
    assert found["list"] == [{"x": 1, "y": 2}, 3]
    assert found["own"] == {"x": 1, "y": 5}
    assert found["both"] == {"x": 1, "y": 7}


def test_what_stands_before_a_syntax_error_is_kept() -> None:
    document = read(b"a: 1\nb: {c: 2}\nd: [1, 2\ne: 3\n", "f")
    assert not document.complete
    assert plain(document.root) == {"a": 1, "b": {"c": 2}}  # type: ignore[arg-type]
    assert len(document.problems) == 1


def test_a_file_beyond_the_limit_is_not_parsed() -> None:
    document = read(b"x" * (MAX_BYTES + 1), "f")
    assert document.root is None
    assert "too large" in document.problems[0].message


def test_eight_million_open_brackets_end_at_once() -> None:
    document = read(b"a: " + b"[" * 8_000_000, "f")
    assert [problem.message for problem in document.problems] == ["values are nested more than 100 deep"]
