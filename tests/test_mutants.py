"""Machine-made wrong solutions change one place each, as people do."""

from __future__ import annotations

import ast

import pytest

from grader.mutants import mutants


def changes(source: str) -> list[str]:
    return [mutant.change for mutant in mutants(source)]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("y = a + b", ["y = a - b", "y = a", "y = b"]),
        ("y = a - b", ["y = a + b", "y = b - a", "y = a"]),
        ("y = a @ b", ["y = a * b", "y = b @ a"]),
        ("y = a // b", ["y = a / b"]),
        ("y = -a", ["y = a"]),
        ("y = a < b", ["y = a <= b", "y = a > b"]),
        ("y = a == b and c", ["y = a != b and c", "y = a == b or c"]),
        ("y = 3", ["y = 4", "y = 2"]),
        ("y = True", ["y = False"]),
        ("y = 0.5", ["y = 1.0"]),
        ("y = x[i:j]", ["y = x[i + 1:j]", "y = x[i:j + 1]", "y = x[:j]", "y = x[i:]"]),
        ("y = x[::-1]", ["y = x[:]", "y = x[::1]"]),
        ("y = x.copy()", ["y = x", "pass"]),
        ("y = np.abs(x)", ["y = x"]),
        ("y = x.T", ["y = x"]),
        ("y = x.transpose(0, 2, 1)", ["y = x"]),
        ("y = np.zeros((n, m))", ["y = np.zeros((m, n))", "y = np.ones((n, m))"]),
        ("y = x.sum(axis=0, keepdims=True)", ["y = x.sum(axis=0)", "y = x.sum(keepdims=True)"]),
        ("y = x.mean(axis=0)", ["y = x.sum(axis=0)", "y = x.mean(axis=1)", "y = x"]),
        ("y = a / np.sqrt(v + eps)", ["y = a / (np.sqrt(v) + eps)", "y = a / np.sqrt(v - eps)"]),
        ("y += a", ["y -= a", "pass"]),
        ("for i in range(n):\n        y = i", ["for i in range(n - 1):", "for i in range(n + 1):"]),
        ("y = f(a, b)", ["y = f(b, a)"]),
    ],
)
def test_a_line_becomes_what_people_write_by_mistake(line: str, wrong: list[str]) -> None:
    before = line.splitlines()[0]
    found = changes(f"def g(a, b, c, i, j, n, m, x, v, y, eps, f):\n    {line}\n    return y")
    for after in wrong:
        assert f"{before}  ->  {after}" in found


def test_branches_defaults_and_whole_statements_change_too() -> None:
    found = changes("def g(x, stride=1):\n    if x:\n        x = 0\n    return x")
    assert "if x:  ->  if not x:" in found
    assert "def g(x, stride=1):  ->  def g(x, stride=2):" in found
    assert "def g(x, stride=1):  ->  def g(x, stride):" in found
    assert "x = 0  ->  pass" in found


def test_what_readers_are_told_does_not_change() -> None:
    source = '''
def g(x: int = None) -> "tuple[0]":
    """Return 3 + 3."""
    y: list[int] = x
    if y is None:
        raise ValueError(f"not {y} + 1")
    assert y, "3 + 4"
    return y
'''
    for mutant in mutants(source):
        assert "Return 3 + 3." in mutant.source
        assert "tuple[0]" in mutant.source
        if "raise" in mutant.source:
            assert "raise ValueError(f'not {y} + 1')" in mutant.source


def test_each_mutant_is_python_and_each_is_there_once() -> None:
    source = "def g(x, w):\n    return [x[i:i + len(w)] @ w for i in range(len(x) - len(w) + 1)]"
    made = mutants(source)
    assert len({mutant.source for mutant in made}) == len(made) > 10
    assert len({mutant.change for mutant in made}) == len(made)
    original = ast.unparse(ast.parse(source))
    for mutant in made:
        ast.parse(mutant.source)
        assert mutant.source != original


def test_a_mutant_differs_in_the_lines_that_it_tells() -> None:
    source = "def g(x):\n    y = x + 1\n    z = y * 2\n    return z"
    for mutant in mutants(source):
        for line in mutant.after.splitlines():
            assert line in mutant.source
        for line in mutant.before.splitlines():
            assert line in source
