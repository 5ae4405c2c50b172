"""Normalization by rule, against Unicode's own tables."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.normalization import AS_WRITTEN, NormalizationConfig, characters_outside, normalize_text

ENGLISH, NFKC = NormalizationConfig(), NormalizationConfig(unicode="NFKC")
marks = st.text(
    alphabet="ab1İıIi ½²…—'.,/:\u200b\u200c\u200d\u00ad\u0301\u0307\ufeffمیراक\u094dം👩\ufe0f❤", max_size=20
)


@pytest.mark.parametrize("rules", [ENGLISH, NFKC, NormalizationConfig(case="upper", language="tr", spaces="keep")])
@given(text=st.one_of(st.text(max_size=60), marks))
def test_normalizing_twice_changes_nothing(text, rules):
    once = normalize_text(text, rules)
    assert normalize_text(once, rules) == once
    assert once == unicodedata.normalize("NFC", once)


def test_rules():
    assert normalize_text("  It\u2019s TWENTY-one,  \u201cok\u201d? ", NormalizationConfig()) == "it's twenty one ok"
    assert normalize_text("\u0643\u0643", NormalizationConfig(replace=("\u0643\u06a9",))) == "\u06a9\u06a9"
    assert normalize_text("Straße!", NormalizationConfig(case="upper", punctuation="keep")) == "STRASSE!"
    assert normalize_text("e\u0301", NormalizationConfig()) == "\u00e9"
    assert characters_outside("abcé", NormalizationConfig(alphabet="abc")) == "é"
    with pytest.raises(ValueError, match="pairs"):
        NormalizationConfig(replace=("abc",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wait…what", "wait what"),
        ("wait...what", "wait what"),
        ("one—two–three", "one two three"),
        ("either/or", "either or"),
        ("one\u2044two", "one two"),
        ("first,second;third", "first second third"),
        ("(ok)then", "ok then"),
        ("AT&T", "at t"),
        ("3×4 10:30 3.14 1,000", "3 4 10 30 3 14 1 000"),
        ("2½", "2½"),
        ("snake_case\\path", "snake case path"),
        ("ሰላም፡ዓለም", "ሰላም ዓለም"),
        ("U.S.A. and p.m.", "usa and pm"),
        ("EU:s col·lecció o`zbek o\u2018zbek", "eus collecció ozbek ozbek"),
        ('צה״ל צה"ל', "צהל צהל"),
        ("ինչո՞ւ", "ինչու"),
        ("\u201cyes,\u201d he said -- loudly!", "yes he said loudly"),
        ("it\u2019s rock'n'roll", "it's rock'n'roll"),
        ("love ❤\ufe0f you 1\ufe0f\u20e3", "love you 1"),
    ],
)
def test_what_stood_apart_stays_apart(text, expected):
    assert normalize_text(text, ENGLISH) == expected


def test_marks_at_the_edge_of_a_word_leave_no_space_where_spaces_are_kept():
    assert normalize_text("a,b, c. \n(d)", NormalizationConfig(spaces="keep", kept="\n")) == "a b c \nd"


@pytest.mark.parametrize("mark", "\u200b\u00ad\u200e\u200f\ufeff\u2060\u202a\u2066\u061c\u200c\u200d")
def test_what_has_no_width_is_no_letter(mark):
    for rules in (ENGLISH, NFKC, NormalizationConfig(punctuation="keep")):
        assert normalize_text(f"{mark}so{mark}me {mark} wor{mark}ds{mark}", rules) == "some words"
    assert normalize_text(f"cafe{mark}\u0301", ENGLISH) == "café"
    assert normalize_text(f"so{mark}me", AS_WRITTEN) == f"so{mark}me"
    assert normalize_text(f"so{mark}me", NormalizationConfig(kept=mark)) == f"so{mark}me"


def test_no_format_character_is_left():
    every = "a".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == "Cf")
    assert set(normalize_text(every, ENGLISH)) == {"a"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian: the prefix of a verb
        ("می\u200c\u200cخواهم", "می\u200cخواهم"),
        ("کتاب\u200cها،", "کتاب\u200cها"),
        ("خانه\u200c ما\u200c", "خانه ما"),
        ("\u200cما", "ما"),
        ("می\u200d\u200bرود", "میرود"),
        ("क्\u200dष", "क्\u200dष"),  # Devanagari: half a letter, and the letter with its virama
        ("क्\u200cष", "क्\u200cष"),
        ("क\u200cष", "कष"),
        ("അവന്\u200d", "അവന്\u200d"),  # Malayalam: a letter of its own at the end of a word
        ("র\u200d্যাব", "র\u200d্যাব"),  # Bengali: r and y, where r would be written above
        ("Auf\u200clage", "auflage"),
    ],
)
def test_joiners_stay_where_a_script_needs_them(text, expected):
    assert normalize_text(text, ENGLISH) == expected


def test_a_joiner_between_symbols_is_of_one_symbol():
    assert (
        normalize_text("👩\u200d💻 ❤\ufe0f\u200d🔥", NormalizationConfig(punctuation="keep"))
        == "👩\u200d💻 ❤\ufe0f\u200d🔥"
    )
    assert normalize_text("a 👩\u200d💻 b", ENGLISH) == "a b"


def test_compatible_characters_make_no_other_number():
    said = normalize_text("2½ x² m2 ㎡ H₂O ①② 10⅓", NFKC)
    assert said == "2½ x² m2 m² h₂o ①② 10⅓"
    assert normalize_text("ＡＢ１２ ﬁ 𝐱 Ⅳ №5 ﻻ", NFKC) == "ab12 fi x iv no5 \u0644\u0627"


def test_otherwise_it_is_nfkc():
    plain = NormalizationConfig(unicode="NFKC", case="keep", punctuation="keep", spaces="keep")
    left_alone = set()
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) in {"Cf", "Cs", "No"}:
            continue
        expected = unicodedata.normalize("NFKC", character)
        found = normalize_text(character, plain)
        if found != expected:
            left_alone.add(character)
            assert unicodedata.normalize("NFKC", found) == expected
            assert any(unicodedata.category(c) == "No" for c in found)
    assert "㎡" in left_alone
    assert len(left_alone) < 20


def test_languages_with_a_dotless_i():
    turkish = NormalizationConfig(language="tr")
    assert normalize_text("ISPARTA İzmir I\u0307zmir", turkish) == "ısparta izmir izmir"
    assert normalize_text("ısparta izmir", NormalizationConfig(language="az", case="upper")) == "ISPARTA İZMİR"
    assert normalize_text("ISPARTA", ENGLISH) == "isparta"
