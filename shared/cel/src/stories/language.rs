//! The language itself.

use super::holds;

#[test]
fn numbers_are_checked_and_compared_across_types() {
    holds(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807 + 1", "error: integer overflow"),
        ("-(-9223372036854775808)", "error: integer overflow"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("1 / 0", "error: division by zero"),
        ("1 % 0", "error: modulus by zero"),
        ("1u - 2u", "error: unsigned integer overflow"),
        ("0x1F", "31"),
        ("1.5e3", "1500.0"),
        ("1 < 2.5", "true"),
        ("1u < 2", "true"),
        ("9223372036854775807 < 9223372036854775808.0", "true"),
        ("dyn(1) == 1.0", "true"),
        ("dyn(1u) == 1", "true"),
        ("dyn(1) == '1'", "false"),
        ("0.0 / 0.0 == 0.0 / 0.0", "false"),
        ("int('12') + int(3.9) + int(4u)", "19"),
        ("uint(-1)", "error: unsigned integer overflow"),
        ("string(1e300) + string(-4) + string(1.5)", "\"1e+300-41.5\""),
        ("double('0.25')", "0.25"),
        ("!!true && !false", "true"),
        ("- -1", "1"),
    ]);
}

#[test]
fn texts_bytes_and_their_escapes_are_read() {
    holds(&[
        (r#"'a\tb' + "\u00e9""#, "\"a\\tbé\""),
        (r#"r'\d' == '\\d'"#, "true"),
        ("'''a\nb''' == 'a\\nb'", "true"),
        (r"b'\xff\000'", "b\"\\xff\\x00\""),
        ("'héllo'.size()", "5"),
        ("b'héllo'.size()", "6"),
        (
            "size('') == 0 && 'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('bc')",
            "true",
        ),
        ("'foobar'.matches('^foo.*r$')", "true"),
        (
            "string(b'\\xff')",
            "error: invalid UTF-8 in bytes, cannot convert to string",
        ),
    ]);
}

#[test]
fn an_error_is_taken_in_by_the_side_that_decides() {
    holds(&[
        ("x.nothing || true", "true"),
        ("x.nothing && false", "false"),
        ("false || x.nothing", "error: no such key: nothing"),
        ("true ? 1 : 1 / 0", "1"),
        ("[1, 0].exists(i, 1 / i == 1)", "true"),
        ("[0, 1].all(i, 1 / i == 2)", "false"),
        ("[0].all(i, 1 / i == 2)", "error: division by zero"),
    ]);
}

#[test]
fn lists_and_maps_are_made_and_looked_into() {
    holds(&[
        ("[1, 2] + [3]", "[1, 2, 3]"),
        ("[1, 2][1]", "2"),
        ("[1, 2][2]", "error: index out of bounds: 2"),
        ("{'a': 1}.a + {'a': 1}['a']", "2"),
        ("{'a': 1}['b']", "error: no such key: b"),
        ("{1: 'a'}[dyn(1u)]", "\"a\""),
        ("{'a': 1, 'a': 2}", "error: Failed with repeated key: \"a\""),
        ("2 in [1, 2] && 'k' in x.map && !('z' in x.map)", "true"),
        ("[[1], [2]] == [[1], [2]] && {'a': [1]} == {'a': [1]}", "true"),
        ("has(x.a) && !has(x.b) && has(x.none)", "true"),
        ("size(x.list) + x.map.size()", "4"),
        (
            "type(1) == int && type([]) == list && type(type(1)) == type",
            "true",
        ),
        ("x.a + x.list[0]", "2"),
    ]);
}

#[test]
fn macros_look_at_every_element() {
    holds(&[
        ("[1, 2, 3].all(i, i > 0) && ![].exists(i, true)", "true"),
        ("[1, 2, 2].exists_one(i, i == 1)", "true"),
        ("[1, 2, 3].filter(i, i % 2 == 1)", "[1, 3]"),
        ("[1, 2, 3].map(i, i * i)", "[1, 4, 9]"),
        ("[1, 2, 3].map(i, i > 1, i * i)", "[4, 9]"),
        ("{'b': 1, 'a': 2}.map(k, k)", "[\"a\", \"b\"]"),
        ("[[1, 2], [3]].map(l, l.map(i, i + 1))", "[[2, 3], [4]]"),
        ("[5, 6].all(i, v, v == i + 5)", "true"),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"),
        ("{'a': 1, 'b': 2}.existsOne(k, v, v > 1)", "true"),
        ("[4, 5].transformList(i, v, i > 0, v + i)", "[6]"),
        ("[4, 5].transformMap(i, v, v * 2)", "{0: 8, 1: 10}"),
        ("{'a': 'x'}.transformMapEntry(k, v, {v: k})", "{\"x\": \"a\"}"),
        ("cel.bind(a, 2, cel.bind(b, a + 1, a * b))", "6"),
        ("[3, 1, 2].sortBy(i, -i)", "[3, 2, 1]"),
        ("[{'n': 'b'}, {'n': 'a'}].sortBy(e, e.n)[0].n", "\"a\""),
    ]);
}

#[test]
fn optional_values_stand_for_what_may_be_missing() {
    holds(&[
        ("x.?a.orValue(7)", "1"),
        ("x.?b.orValue(7)", "7"),
        ("x.?b.c.d.hasValue()", "false"),
        ("x.map[?'k']", "optional.of(\"v\")"),
        ("[1][?4]", "optional.none()"),
        ("[?x.?a, ?x.?b]", "[1]"),
        ("{?'a': x.?a, ?'b': x.?b}", "{\"a\": 1}"),
        (
            "optional.of(1).value() + optional.none().or(optional.of(2)).value()",
            "3",
        ),
        ("optional.none().value()", "error: optional.none() dereference"),
        ("optional.ofNonZeroValue('').hasValue()", "false"),
        ("x.?a.optMap(v, v + 1)", "optional.of(2)"),
        ("x.?map.optFlatMap(m, m.?k)", "optional.of(\"v\")"),
        ("x.?b.optMap(v, v + 1)", "optional.none()"),
    ]);
}

#[test]
fn times_have_parts_and_differences() {
    holds(&[
        ("timestamp('2024-02-29T12:30:05.5Z').getDayOfYear()", "59"),
        ("timestamp('2024-02-29T23:30:00Z').getDate('Europe/Berlin')", "1"),
        ("timestamp('2024-02-29T23:30:00Z').getHours('-01:30')", "22"),
        (
            "timestamp('2024-03-01T00:00:00Z') - timestamp('2024-02-29T00:00:00Z')",
            "duration(86400s)",
        ),
        (
            "timestamp('2024-01-01T00:00:00Z') + duration('1h30m')",
            "timestamp(2024-01-01T01:30:00Z)",
        ),
        ("duration('1.5s').getMilliseconds()", "1500"),
        ("string(duration('-90m'))", "\"-5400s\""),
        (
            "duration('1d')",
            "ERROR: <input>:1:10: invalid duration argument\n | duration('1d')\n | .........^",
        ),
        ("timestamp(0).getFullYear() + timestamp(0).getDayOfWeek()", "1974"),
    ]);
}
