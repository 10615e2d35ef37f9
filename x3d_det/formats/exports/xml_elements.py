"""XML that nobody has checked, element by element, with lines; entities are refused."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

from defusedxml.common import DefusedXmlException
from defusedxml.sax import make_parser

from x3d_det.errors import DataError
from x3d_det.formats.foreign_files import (
    FileFault,
    open_foreign,
    parse_number,
    parse_whole,
    short,
)

_MAX_DEPTH = 64
_CHUNK_BYTES = 1 << 18


@dataclass(slots=True)
class XmlElement:
    """One element of XML: its name, attributes, children, text and line."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list["XmlElement"] = field(default_factory=list)
    text: str = ""

    @property
    def place(self) -> str:
        """The element's line, as a fault names it."""
        return f":{self.line}"

    def child(self, tag: str) -> "XmlElement | None":
        """Return the first child of this name."""
        return next((child for child in self.children if child.tag == tag), None)

    def child_text(self, tag: str) -> str:
        """Return the text of the first child of this name, without blanks round it."""
        child = self.child(tag)
        return child.text.strip() if child is not None else ""

    def number(self, name: str) -> float:
        """Return an attribute that must be a finite number."""
        return parse_number(self.required(name), self.place, name)

    def whole(self, name: str) -> int:
        """Return an attribute that must be a whole number, 0 or more."""
        return parse_whole(self.required(name), self.place, name)

    def flag(self, name: str, *, default: str = "0") -> bool:
        """Return an attribute that is 0 or 1; where it is absent, the default."""
        text = self.attributes.get(name, default).strip()
        if text not in ("0", "1"):
            raise FileFault(self.place, f"{name} is {short(text)}; it must be 0 or 1.")
        return text == "1"

    def required(self, name: str) -> str:
        """Return an attribute that must be there."""
        if name not in self.attributes:
            raise FileFault(self.place, f"<{self.tag}> has no {name}; export the task again.")
        return self.attributes[name]


def iter_xml(path: str | os.PathLike[str], *, root: str) -> Iterator[XmlElement]:
    """Yield the children of the root of an XML file, one by one, each whole.

    Args:
        path: the file or a zip with it.
        root: name that the outermost element must have.

    Raises:
        DataError: as `open_foreign`; or no XML, another root, a document type declaration
            (entities could blow a small file up or read others), deeper than 64 elements.
    """
    parser = make_parser()
    collector = _Collector(root, parser)
    parser.forbid_dtd = True
    parser.setContentHandler(collector)
    with open_foreign(path, suffix=".xml") as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            _feed(parser, chunk, path)
            yield from collector.take()
            if not chunk:
                return


def _feed(parser: Any, chunk: bytes, path: str | os.PathLike[str]) -> None:
    """Give the parser a part of the file; an empty one ends it."""
    try:
        parser.feed(chunk)  # an empty file must be fed too, or close() says nothing of it
        if not chunk:
            parser.close()
    except SAXParseException as error:
        raise DataError(
            f"{path}:{error.getLineNumber()}: no XML: {error.getMessage()}; export it again."
        ) from error
    except DefusedXmlException as error:
        raise DataError(
            f"{path}: the XML declares a document type or entities, which no annotation tool "
            "writes and which can be an attack; nothing was read. Export it again."
        ) from error
    except FileFault as fault:
        raise DataError(f"{path}{fault.place}: {fault.text}") from fault
    except (LookupError, ValueError) as error:  # an encoding that expat cannot read
        raise DataError(f"{path}: no readable XML: {error}; save it as UTF-8.") from error


class _Collector(ContentHandler):
    """Builds the children of the root, and only those."""

    def __init__(self, root: str, locator: Any) -> None:
        super().__init__()
        self._root = root
        self._locator = locator
        self._open: list[XmlElement] = []
        self._texts: list[str] = []
        self._done: list[XmlElement] = []
        self._depth = 0

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        line = self._locator.getLineNumber()
        self._depth += 1
        if self._depth == 1:
            if name != self._root:
                raise FileFault(
                    f":{line}", f"the outermost element is <{name}>, not <{self._root}>."
                )
            return
        if self._depth > _MAX_DEPTH:
            raise FileFault(f":{line}", f"<{name}> lies deeper than {_MAX_DEPTH} elements.")
        element = XmlElement(name, dict(attrs.items()), line)
        if self._open:
            self._open[-1].children.append(element)
        self._open.append(element)
        self._texts = []

    def characters(self, content: str) -> None:
        self._texts.append(content)

    def endElement(self, name: str) -> None:
        self._depth -= 1
        if not self._open:
            return
        element = self._open.pop()
        if not element.children:  # text between children is layout
            element.text = "".join(self._texts)
        self._texts = []
        if not self._open:
            self._done.append(element)

    def take(self) -> list[XmlElement]:
        """Return the elements completed since the last call."""
        done, self._done = self._done, []
        return done
