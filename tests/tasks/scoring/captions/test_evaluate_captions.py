"""scores.json of captions: what is counted by hand is what is told."""

import pytest

from tasks.scoring.captions.evaluate_captions import caption_scores

REFERENCES = [["a dog runs on grass", "the dog runs"], ["two cats sit here now"], ["a red bus"], ["a blue bus"]]
SAID = ["the dog runs", "two cats sit here now", "a green car", "a blue bus"]


def rows_of(said, references, truncated=()):
    return [
        {"key": f"k{i}", "text": text, "references": told, "truncated": i in truncated}
        for i, (text, told) in enumerate(zip(said, references, strict=True))
    ]


def test_counts():
    told = caption_scores(rows_of(SAID, REFERENCES, {2}), iter(["the dog runs", "a bus"]))
    assert (told["exact"], told["truncated"], told["photos"]) == (0.75, 1, 4)
    assert told["novelty"] == 0.75  # all but the first
    assert told["worst"][0] == "k2"
    assert told["best"][-1] == "k2"
    # matches of words 3 + 5 + 1 + 3 of 14; lengths 14 against 3 + 5 + 3 + 3
    assert told["bleu_1"] == pytest.approx(100 * 12 / 14)


def test_what_is_not_known_is_not_told():
    assert "novelty" not in caption_scores(rows_of(SAID, REFERENCES), iter(()))


def test_the_order_of_references_changes_nothing():
    turned = [told[::-1] for told in REFERENCES]
    one, other = (caption_scores(rows_of(SAID, told), iter(())) for told in (REFERENCES, turned))
    del one["data"], other["data"]
    assert one == other
