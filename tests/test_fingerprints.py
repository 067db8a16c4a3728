"""Who copied is found under other names; who thought alone, or used what was given, is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader import demo
from grader.fingerprints import (
    COMMON,
    ENOUGH,
    LENGTH,
    THIRD,
    WINDOW,
    Answer,
    Pair,
    alike,
    fingerprint,
)

POOL = '''
def pool(x, size):
    """Return the maximum of each block."""
    n, c, height, width = x.shape
    rows, columns = height // size, width // size
    out = np.empty((n, c, rows, columns))
    for i in range(rows):
        for j in range(columns):
            block = x[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size]
            out[:, :, i, j] = block.max(axis=(2, 3))
    return out
'''
NORM = '''
def norm(x, gamma, beta):
    """Normalise each channel."""
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    spread = x.var(axis=(0, 2, 3), keepdims=True)
    scaled = (x - mean) / np.sqrt(spread + 1e-5)
    return gamma.reshape(1, -1, 1, 1) * scaled + beta.reshape(1, -1, 1, 1)
'''
RENAMED = """
# my own idea
def pool(pictures, s):
    a, b, hh, ww = pictures.shape
    # as many as fit
    p, q = hh // s, ww // s
    result: np.ndarray = np.empty((a, b, p, q))
    for row in range(p):
        for col in range(q):
            part = pictures[:, :,
                            row * s : (row + 1) * s, col * s : (col + 1) * s]
            result[:, :, row, col] = part.max(axis=(2, 3))
    return result
"""
HONEST = """
def pool(x, size):
    n, c, h, w = x.shape
    trimmed = x[:, :, : h - h % size, : w - w % size]
    blocks = trimmed.reshape(n, c, h // size, size, w // size, size)
    return blocks.swapaxes(3, 4).reshape(n, c, h // size, w // size, -1).max(-1)
"""
ESSAY = (
    "A convolution gives the same answer wherever the pattern stands, for the kernel slides over "
    "every place of the picture with the same weights, and so the map of its answers moves along. "
    "A dense layer has another weight for each place, so it would have to learn each of them."
)


def pairs(*programs: str, given: str = "", prose: bool = False) -> list[Pair]:
    """Return the pairs of a class in which each has written one of these into the same cell."""
    answers = {f"s{n}": {"it": Answer(text, prose)} for n, text in enumerate(programs)}
    return alike(answers, [Answer(given)] if given else ())


# ---- who is a pair --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copy",
    [POOL, RENAMED, demo.disguised(POOL), f"{NORM}\n{POOL}"],
    ids=["as it is", "renamed by hand", "disguised as in the demo", "after another function"],
)
def test_a_copy_is_found_whatever_its_names_comments_and_layout(copy: str) -> None:
    [pair] = pairs(POOL, copy, HONEST)
    assert pair.students == ("s0", "s1")
    assert pair.share > 0.9


def test_functions_in_another_order_are_the_same_functions() -> None:
    [pair] = pairs(POOL + NORM, NORM + RENAMED)
    assert pair.share > 0.8  # but for the few pieces that reach from one function into the next


def test_two_who_solved_it_each_in_their_own_way_are_no_pair() -> None:
    assert pairs(POOL, HONEST) == []


def test_what_the_course_gave_does_not_count() -> None:
    assert len(pairs(POOL, RENAMED)) == 1
    assert pairs(POOL, RENAMED, given=POOL) == []


def test_only_what_was_added_to_what_was_given_counts() -> None:
    mine, yours = POOL + NORM, NORM + RENAMED
    [pair] = pairs(mine, yours, given=NORM)
    [without] = pairs(POOL, RENAMED)
    assert abs(pair.pieces - without.pieces) <= WINDOW


def test_the_way_that_many_went_is_no_sign() -> None:
    others = [f"{NORM}\nx = {n} + {n + 1}" for n in range(3 * COMMON)]  # a class to compare with
    most = COMMON
    assert len(pairs(*[POOL] * most, *others)) == most * (most - 1) // 2
    assert pairs(*[POOL] * (most + 1), *others) == []


def test_in_a_small_class_a_third_is_many() -> None:
    others = ["a = 1", "b = 2", "c = 3", "d = 4", "e = 5", "f = 6"]
    assert len(pairs(*[POOL] * THIRD, *others)) == 3
    assert pairs(*[POOL] * (THIRD + 1), *others[:-1]) == []


def test_short_answers_are_alike_by_necessity() -> None:
    short = "def relu(x):\n    return np.maximum(x, 0)"
    assert pairs(short, short, POOL) == []


def test_a_short_common_part_of_two_long_answers_is_no_match() -> None:
    alone = "\n".join(f"{'abcdefgh'[n]} = np.{'abcdefgh'[n]}({n}, {n} + 1) * {n}" for n in range(8))
    assert pairs(POOL + NORM, alone * 3 + NORM) == []


def test_prose_is_compared_by_its_words() -> None:
    again = ESSAY.upper().replace(",", " -")
    other = (
        "Because one filter is shared by all positions, moving the input moves the feature map "
        "by just as much; only near the border, where padding comes in, does this break down."
    )
    [pair] = pairs(ESSAY, again, other, prose=True)
    assert pair.students == ("s0", "s1")


def test_those_with_most_in_common_stand_first() -> None:
    found = pairs(POOL, RENAMED, POOL + NORM, NORM, *["x = 1"] * 9)
    assert [pair.pieces for pair in found] == sorted((p.pieces for p in found), reverse=True)
    assert len(found) > 1


def test_cells_that_are_not_alike_are_not_named() -> None:
    answers = {
        "ada": {"pool": Answer(POOL), "norm": Answer(NORM)},
        "bob": {"pool": Answer(RENAMED), "norm": Answer("norm = None")},
        "cem": {"norm": Answer(NORM.replace("mean", "other"))},
    }
    found = {pair.students: [match.cell for match in pair.matches] for pair in alike(answers)}
    assert found == {("ada", "bob"): ["pool"], ("ada", "cem"): ["norm"]}


def test_lines_that_both_have_are_marked() -> None:
    mine = f"import os\n{POOL}\nprint(os.name, 'a', 'b', 'c', 1, 2, 3)"
    [pair] = pairs(mine, RENAMED)
    [match] = pair.matches
    marked = [mine.split("\n")[line - 1] for line in sorted(match.lines[0])]
    assert "    rows, columns = height // size, width // size" in marked
    assert not [line for line in marked if line.startswith(("import", "print"))]


# ---- what an answer is ----------------------------------------------------------------------


def test_names_of_others_are_themselves() -> None:
    """``np.max`` is no ``np.min``; what a student names is only a name."""
    assert fingerprint(Answer(POOL)) == fingerprint(Answer(RENAMED))
    assert fingerprint(Answer(POOL)) != fingerprint(Answer(POOL.replace(".max", ".min")))


@given(st.integers(0, 2**32))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_is_shared_is_found_wherever_it_stands(seed: int) -> None:
    """Winnowing's guarantee: `LENGTH` + `WINDOW` - 1 equal tokens share a fingerprint."""
    rng = random.Random(seed)
    words = [f"w{n}" for n in range(1000)]
    shared = rng.sample(words, LENGTH + WINDOW - 1)
    texts = [
        " ".join([*rng.sample(words, rng.randrange(40)), *shared, *rng.sample(words, 30)])
        for _ in range(2)
    ]
    one, other = (fingerprint(Answer(text, prose=True)) for text in texts)
    assert one & other


def test_far_fewer_hashes_are_kept_than_there_are() -> None:
    rng = random.Random(0)
    words = [f"w{rng.randrange(10**6)}" for _ in range(5_000)]
    kept = len(fingerprint(Answer(" ".join(words), prose=True)))
    assert kept / len(words) == pytest.approx(2 / (WINDOW + 1), rel=0.05)  # section 3.2


def test_fingerprints_are_the_same_in_every_run() -> None:
    text = "one two three four five six seven eight nine ten"
    assert fingerprint(Answer(text, prose=True)) == {3283033912}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "def f(:",
        "(" * 50_000,
        "-" * 50_000 + "1",
        "x = " + "[" * 5_000,
        "f'{a!r:{b}}'" * 50,
        "x = '\\d'",
        "9" * 6_000,
        "\ud800",
        "a\rb\x0cc",
        "lambda: " * 3_000 + "0",
        "if x:\n" + "".join(" " * n + "if x:\n" for n in range(1, 200)),
    ],
)
def test_no_text_of_a_student_breaks_the_comparison(text: str) -> None:
    for prose in (False, True):
        assert isinstance(fingerprint(Answer(text, prose)), frozenset)
    assert len(pairs(POOL, RENAMED, text)) == 1


def test_what_stands_above_an_error_of_syntax_is_compared() -> None:
    [pair] = pairs(POOL, f"{RENAMED}\ndef unfinished(:\n    pass")
    assert pair.pieces >= ENOUGH
