"""Distributions of lengths, and numbers of a sweep."""

import random
import statistics

import pytest

from busduct.endpoint.load import Lengths, parse_numbers
from busduct.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("128", Lengths("fixed", 128)),
        ("fixed:128", Lengths("fixed", 128)),
        ("uniform:64:512", Lengths("uniform", 64, 512)),
        ("uniform:64:64", Lengths("uniform", 64, 64)),
        ("normal:256:64", Lengths("normal", 256, 64)),
        ("normal:256:0", Lengths("normal", 256, 0)),
    ],
)
def test_lengths_are_what_their_text_says(text: str, lengths: Lengths) -> None:
    assert Lengths.parse(text) == lengths
    assert Lengths.parse(str(lengths)) == lengths


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "length '' is none of N, uniform:LOW:HIGH"),
        ("many", "is none of"),
        ("1.5", "is none of"),
        ("uniform:64", "is none of"),
        ("uniform:1:2:3", "is none of"),
        ("zipf:1:2", "is none of"),
        ("0", "length is 0; it must be from 1 to 16777216"),
        ("99999999", "length is 99999999; it must be from 1"),
        ("uniform:64:63", "greatest length is 63; it must be from 64"),
        ("normal:64:-1", "deviation is -1; it must be from 0"),
    ],
)
def test_text_that_is_no_length_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Lengths.parse(text)


def sampled(text: str) -> list[int]:
    lengths, source = Lengths.parse(text), random.Random(11)
    return [lengths.sample(source) for _ in range(20_000)]


def test_samples_follow_their_distribution() -> None:
    assert set(sampled("128")) == {128}
    uniform = sampled("uniform:10:19")
    assert set(uniform) == set(range(10, 20))
    assert statistics.fmean(uniform) == pytest.approx(14.5, abs=0.1)
    normal = sampled("normal:200:20")
    assert statistics.fmean(normal) == pytest.approx(200, abs=1)
    assert statistics.stdev(normal) == pytest.approx(20, abs=0.5)
    assert min(sampled("normal:2:50")) == 1


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("8", [8]),
        ("1,2,4", [1, 2, 4]),
        ("1:4", [1, 2, 3, 4]),
        ("64:256:64", [64, 128, 192, 256]),
        ("1:10:4", [1, 5, 9, 10]),
        ("3:3", [3]),
        ("1, 2, 2:4:2", [1, 2, 4]),
    ],
)
def test_numbers_are_what_their_text_says(text: str, numbers: list[int]) -> None:
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is none of N, N,M,..., LOW:HIGH or LOW:HIGH:STEP"),
        ("1,,2", "is none of"),
        ("a:b", "is none of"),
        ("1:2:3:4", "is none of"),
        ("0", "has a number below 1"),
        ("1:5:0", "has a number below 1"),
        ("5:1", "ends before it begins"),
        ("1:100000000000", "is more than 1000 numbers"),
    ],
)
def test_text_that_is_no_numbers_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_numbers(text)
