"""Translation Memory eXchange (TMX 1.4b, https://www.gala-global.org/tmx-14b): the translation units of a file.

It is XML from anywhere: entities are not expanded, and nothing else is fetched.
"""

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from infra.errors import UserError
from tasks.corpora.corpus_files import Location
from tasks.corpora.text_file import BadText, ByteStream, read_unpacked

LANGUAGE = ("{http://www.w3.org/XML/1998/namespace}lang", "lang")
CODES = {"bpt", "ept", "it", "ph", "ut"}  # hold markup of the document, not words


def read_units(name: str, place: Location) -> Iterator[dict[str, str]]:
    """Of each unit the text in each language, which is called as the file does in lower case; of two the
    first that is not empty.

    Raises UserError for what is no such file.
    """
    root, unit = None, dict[str, str]()
    try:
        content: Any = ByteStream(read_unpacked(name, place))
        for event, element in iterparse(content, ("start", "end"), forbid_dtd=False):
            root = element if root is None else root
            kind = _local(element)
            if event == "start":
                continue
            if kind == "tuv":
                language = next((element.get(key) for key in LANGUAGE if element.get(key)), "").casefold()
                found = [_words(child) for child in element if _local(child) == "seg"]
                if not unit.get(language, "").strip():
                    unit[language] = "".join(found)
            elif kind == "tu":
                yield unit
                unit = {}
                root.clear()
    except DefusedXmlException as error:
        told = "XML entities, which may stand for anything; write what they stand for in their place"
        raise UserError(f"{place[0]}: not read: it declares {told}") from error
    except BadText as bad:
        raise UserError(f"{place[0]}: {bad.reason} ({bad.detail}); download it again, or unpack it") from bad
    except (ParseError, ValueError, LookupError) as error:  # the last two of an encoding that the parser cannot read
        told = " ".join(str(error).split())[:100]
        raise UserError(f"{place[0]}: not well-formed XML ({told}); mend it, or export it again in UTF-8") from error


def find_language(unit: dict[str, str], language: str) -> str:
    """The text in a language, or in a regional variety of it: en is en-US as well, en-US only itself. "" for none, and
    where each is empty.
    """
    wanted = language.casefold()
    varieties = [text for code, text in unit.items() if code.replace("_", "-").split("-")[0] == wanted]
    return next((text for text in [unit.get(wanted, ""), *varieties] if text.strip()), "")


def _local(element: Any) -> str:
    """The tag without a namespace."""
    return element.tag.rpartition("}")[2]


def _words(element: Any) -> str:
    """The text, without that of codes, however deep it lies."""
    parts, waiting = list[str](), list[Any]([element])
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            parts.append(one)
            continue
        parts.append(one.text or "")
        for child in reversed(one):
            waiting += [child.tail or "", *([] if _local(child) in CODES else [child])]
    return "".join(parts)
