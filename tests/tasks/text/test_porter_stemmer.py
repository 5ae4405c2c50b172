"""Stems are those of Porter's own examples, step by step, and of words that captions have."""

import pytest

from tasks.text.porter_stemmer import stem_word

EXAMPLES = """caresses caress|ponies poni|ties ti|caress caress|cats cat|feed feed|agreed agre|plastered plaster
bled bled|motoring motor|sing sing|conflated conflat|troubled troubl|sized size|hopping hop
tanned tan|falling fall|hissing hiss|fizzed fizz|failing fail|filing file|happy happi|sky sky
relational relat|conditional condit|rational ration|valenci valenc|hesitanci hesit|digitizer digit
conformabli conform|radicalli radic|differentli differ|vileli vile|analogousli analog
vietnamization vietnam|predication predic|operator oper|feudalism feudal|decisiveness decis
hopefulness hope|callousness callous|formaliti formal|sensitiviti sensit|sensibiliti sensibl
triplicate triplic|formative form|formalize formal|electriciti electr|electrical electr|hopeful hope
goodness good|revival reviv|allowance allow|inference infer|airliner airlin|gyroscopic gyroscop
adjustable adjust|defensible defens|irritant irrit|replacement replac|adjustment adjust
dependent depend|adoption adopt|homologou homolog|communism commun|activate activ|angulariti angular
homologous homolog|effective effect|bowdlerize bowdler|probate probat|rate rate|cease ceas
controll control|roll roll|yellow yellow|playing plai|dogs dog|running run|babies babi|is is|a a
children children|naïve naïve|42nd 42nd"""


@pytest.mark.parametrize("pair", [pair for line in EXAMPLES.splitlines() for pair in line.split("|")])
def test_stems(pair):
    word, stem = pair.split()
    assert stem_word(word) == stem
