"""A document through its format, as an archive's job does it, with any function for a translator."""

import io

from tasks.documents.document import DocumentConfig, Passage, Range, Translated
from tasks.documents.formats import document_format
from tasks.documents.sentence_split import join_sentences, split_sentences


def passages(name, data, where=None, **config):
    """Of a range, and the rest."""
    how = document_format(name, DocumentConfig(**config))
    *found, rest = how.read(io.BytesIO(data), where or Range())
    assert all(isinstance(one, Passage) for one in found)
    return found, rest


def translate(name, data, translator, folder, most=0, **config):
    """The document of what its ranges of `most` bytes come to. translator: of a sentence, None where it refuses."""
    settings = DocumentConfig(**config)
    how = document_format(name, settings)
    ranges = (list(how.cut(io.BytesIO(data), most)) if most else []) or [Range()]
    made = []
    for where in ranges:
        found, rest = passages(name, data, where, **config)
        texts = []
        for one in found:
            if not one.problem:
                spans = split_sentences(one.text, settings.split_sentences)
                said = [translator(one.text[s.begin : s.end]) for s in spans]
                kept = [t if t is not None else one.text[s.begin : s.end] for s, t in zip(spans, said, strict=True)]
                texts.append(Translated(join_sentences(one.text, spans, kept), None not in said))
        made.append(how.write(found, texts, rest))
        assert how.count(made[-1]) == rest.lines
    how.join(made, folder / "joined")
    return (folder / "joined").read_bytes()
