"""Text from tokens, piece by piece."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from busduct.errors import ConfigError
from busduct.pipeline._incremental import (
    IncrementalDecoder,
    StopMatcher,
    token_bytes_table,
)

BYTES = [bytes([value]) for value in range(256)]
TEXT = "naïve 👩‍🚀 日本語 🏳️‍🌈 ß€𝄞"


def byte_level(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def alphabet() -> dict[str, int]:
    chars = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {char: number for number, char in enumerate(chars)}


@pytest.mark.parametrize("border", range(len(TEXT.encode()) + 1))
def test_no_character_is_split_at_any_byte(border: int) -> None:
    data = TEXT.encode()
    decoder = IncrementalDecoder(BYTES)
    first, second = decoder.feed(data[:border]), decoder.feed(data[border:])
    assert "\ufffd" not in first + second
    assert first == data[:border].decode(errors="ignore")
    assert first + second + decoder.flush() == TEXT


def test_byte_by_byte_gives_each_character_at_its_last_byte() -> None:
    decoder = IncrementalDecoder(BYTES)
    pieces = [decoder.feed([byte]) for byte in TEXT.encode()]
    assert [piece for piece in pieces if piece] == list(TEXT)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_text_that_ends_inside_a_character_ends_with_one_replacement(cut: int) -> None:
    decoder = IncrementalDecoder(BYTES)
    assert decoder.feed("ok👍".encode()[:-cut]) == "ok"
    assert decoder.flush() == "\ufffd"


def test_bytes_that_cannot_be_a_character_are_not_held_back() -> None:
    decoder = IncrementalDecoder(BYTES)
    assert decoder.feed(b"\xff\xf0a") == "\ufffd\ufffda"
    assert decoder.flush() == ""


@given(st.binary(max_size=40), st.randoms())
def test_any_bytes_in_any_pieces_decode_as_the_whole(
    data: bytes, rng: random.Random
) -> None:
    decoder = IncrementalDecoder(BYTES)
    text, position = "", 0
    while position < len(data):
        size = rng.randint(1, 4)
        text += decoder.feed(data[position : position + size])
        position += size
    assert text + decoder.flush() == data.decode(errors="replace")


@given(st.lists(st.integers(0, 259), max_size=40))
def test_table_decodes_as_the_library_does(ids: list[int]) -> None:
    tokenizer = byte_level(alphabet())
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    tokenizer.add_tokens(["<|name|>"])
    decoder = IncrementalDecoder(token_bytes_table(tokenizer))
    text = "".join(decoder.feed([number]) for number in ids) + decoder.flush()
    assert text == tokenizer.decode(ids, skip_special_tokens=True)


def test_added_token_stands_for_itself() -> None:
    tokenizer = byte_level(alphabet())
    # The library reads the "ß" as a byte here, and so loses it.
    tokenizer.add_tokens(["Straße"])
    assert token_bytes_table(tokenizer)[256] == "Straße".encode()


def test_table_of_another_kind_of_tokenizer_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.Metaspace()
    with pytest.raises(ConfigError, match="Metaspace"):
        token_bytes_table(tokenizer)


def feed_all(matcher: StopMatcher, pieces: list[str]) -> tuple[str, bool]:
    shown = ""
    for piece in pieces:
        text, stopped = matcher.feed(piece)
        shown += text
        if stopped:
            return shown, True
    return shown + matcher.flush(), False


@pytest.mark.parametrize("border", range(len("one STOP two") + 1))
def test_stop_string_is_found_across_any_border(border: int) -> None:
    text = "one STOP two"
    pieces = [text[:border], text[border:]]
    assert feed_all(StopMatcher(["STOP"]), pieces) == ("one ", True)


def test_beginning_of_a_stop_string_is_held_back_until_decided() -> None:
    matcher = StopMatcher(["STOP"])
    assert matcher.feed("a ST") == ("a ", False)
    assert matcher.feed("O") == ("", False)
    assert matcher.feed("NE") == ("STONE", False)


def test_what_was_held_back_is_shown_at_the_end() -> None:
    assert feed_all(StopMatcher(["STOP"]), ["see ST"]) == ("see ST", False)


def test_overlapping_beginnings_are_not_lost() -> None:
    assert feed_all(StopMatcher(["aab"]), list("aaaab")) == ("aa", True)


def test_stop_string_completed_first_wins_and_the_longest_of_those() -> None:
    assert feed_all(StopMatcher(["bc", "abc", "abcd"]), ["xabcd"]) == ("x", True)
    assert feed_all(StopMatcher(["b", "abc"]), ["xabc"]) == ("xa", True)


@given(
    st.text("ab", max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.randoms(),
)
def test_result_does_not_depend_on_where_the_text_is_cut(
    text: str, stops: list[str], rng: random.Random
) -> None:
    pieces, position = [], 0
    while position < len(text):
        size = rng.randint(1, 5)
        pieces.append(text[position : position + size])
        position += size
    shown, stopped = feed_all(StopMatcher(stops), pieces)
    assert (shown, stopped) == feed_all(StopMatcher(stops), list(text))
    assert stopped == any(stop in text for stop in stops)
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
