//! What is wrong with expressions, as upstream says it.

use super::holds;

#[test]
fn errors_point_to_their_place() {
    holds(&[
        (
            "1 + $",
            "ERROR: <input>:1:5: Syntax error: token recognition error at: '$'\n | 1 + $\n | ....^\nERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 + $\n | .....^",
        ),
        (
            "a b",
            "ERROR: <input>:1:3: Syntax error: extraneous input 'b' expecting <EOF>\n | a b\n | ..^",
        ),
        (
            "1 +\n  y.z",
            "ERROR: <input>:2:3: undeclared reference to 'y' (in container '')\n |   y.z\n | ..^",
        ),
        (
            "'é' + 1",
            "ERROR: <input>:1:5: found no matching overload for '_+_' applied to '(string, int)'\n | 'é' + 1\n | .．..^",
        ),
        (
            "has(x)",
            "ERROR: <input>:1:5: invalid argument to has() macro\n | has(x)\n | ....^",
        ),
        (
            "[1].all(1, true)",
            "ERROR: <input>:1:9: argument must be a simple name\n | [1].all(1, true)\n | ........^",
        ),
        (
            "nothing(1)",
            "ERROR: <input>:1:8: undeclared reference to 'nothing' (in container '')\n | nothing(1)\n | .......^",
        ),
        (
            "'a'.size(1)",
            "ERROR: <input>:1:9: found no matching overload for 'size' applied to 'string.(int)'\n | 'a'.size(1)\n | ........^",
        ),
        (
            "1.all(e, true)",
            "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | 1.all(e, true)\n | ^",
        ),
        (
            "1 && true",
            "ERROR: <input>:1:1: expected type 'bool' but found 'int'\n | 1 && true\n | ^",
        ),
        (
            "[1, 'a']",
            "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^",
        ),
        (
            "'a'.b",
            "ERROR: <input>:1:4: type 'string' does not support field selection\n | 'a'.b\n | ...^",
        ),
        ("if", "ERROR: <input>:1:1: reserved identifier: if\n | if\n | ^"),
        (
            "99999999999999999999",
            "ERROR: <input>:1:1: invalid int literal\n | 99999999999999999999\n | ^",
        ),
        (
            "x.matches('(')",
            "ERROR: <input>:1:11: invalid matches argument\n | x.matches('(')\n | ..........^",
        ),
        (
            "{1: 2",
            "ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting '}'\n | {1: 2\n | .....^",
        ),
    ]);
}
