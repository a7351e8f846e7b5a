"""Where the nodes and properties of an XMP packet stand in its bytes (ISO 16684-1, 7)."""

import re
from dataclasses import dataclass
from xml.parsers import expat

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
OURS = "urn:daguerre:1.0:"

TAG = re.compile(rb"""<[^"'>]*(?:"[^"]*"[^"'>]*|'[^']*'[^"'>]*)*>""")
ATTRIBUTE = re.compile(rb"""\s+([^\s=/>"']+)\s*=\s*("[^"]*"|'[^']*')""")


class UnreadablePacketError(Exception):
    """A packet that cannot be parsed: whoever asked leaves it alone and says so (see ``renewed``)."""


@dataclass(slots=True)
class Property:
    """A property of the packet: its name, where it stands, whether it is an attribute, and its text."""

    namespace: str
    local: str
    span: tuple[int, int]
    text: str = ""
    attribute: bool = False

    @property
    def replaced(self) -> bool:
        return self.namespace == OURS or (self.namespace, self.local) == (IPTC, "DigitalSourceType")


@dataclass(slots=True)
class Node:
    """A node under rdf:RDF with its properties."""

    about: str
    span: tuple[int, int]
    properties: list[Property]

    @property
    def is_ours(self) -> bool:
        """Whether nothing is left of it without the record of an edit."""
        return all(each.replaced for each in self.properties) and any(
            each.namespace == OURS for each in self.properties
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """What ``Reader`` finds: the nodes, and where the tags of rdf:RDF begin and end (one span for an empty tag)."""

    nodes: list[Node]
    opening: tuple[int, int]
    closing: tuple[int, int]


class Reader:
    """One reading of a packet in UTF-8 that remembers where things stand."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self._open: list[tuple[int, int]] = []  # the opening tags of the elements around the parser
        self._rdf = 0  # the depth of rdf:RDF, 0 before it came
        self._opening = self._closing = (0, 0)
        self._nodes: list[Node] = []
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.namespace_prefixes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse

    def graph(self) -> Graph:
        """Raises ``UnreadablePacketError`` for what is no XMP."""
        try:
            self._parser.Parse(self._packet, True)
        except expat.ExpatError as error:
            raise UnreadablePacketError(f"it is no well-formed XML ({error})") from error
        if not self._rdf:
            raise UnreadablePacketError("it holds no rdf:RDF")
        return Graph(self._nodes, self._opening, self._closing)

    def _refuse(self, *_: object) -> None:
        raise UnreadablePacketError("it has a document type definition")

    def _tag(self) -> tuple[int, int]:
        """Where the tag stands that the parser is at."""
        start = self._parser.CurrentByteIndex
        found = TAG.match(self._packet, start)
        if not found:
            raise UnreadablePacketError("a tag does not end")
        return found.span()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(self._tag())
        depth = len(self._open)
        if not self._rdf:
            if parts(name)[:2] == (RDF, "RDF"):
                self._rdf, self._opening = depth, self._open[-1]
        elif not self._closing[1] and depth == self._rdf + 1:
            self._nodes.append(self._node(attributes))
        elif not self._closing[1] and depth == self._rdf + 2:
            namespace, local, _ = parts(name)
            resource = next((value for key, value in attributes.items() if parts(key)[:2] == (RDF, "resource")), "")
            self._nodes[-1].properties.append(Property(namespace, local, self._open[-1], resource))

    def _node(self, attributes: dict[str, str]) -> Node:
        """A node of the graph with those of its properties that are attributes."""
        start, stop = self._open[-1]
        spans = {found[1].decode(): found.span() for found in ATTRIBUTE.finditer(self._packet, start, stop)}
        node = Node("", (start, stop), [])
        for key, value in attributes.items():
            namespace, local, prefix = parts(key)
            if local == "about" and namespace in {RDF, ""}:
                node.about = value
            else:
                span = spans[f"{prefix}:{local}" if prefix else local]
                node.properties.append(Property(namespace, local, span, value, attribute=True))
        return node

    def _end(self, _: str) -> None:
        depth, tag = len(self._open), self._open.pop()
        empty = self._packet[tag[1] - 2] == ord("/")
        if not self._rdf or self._closing[1]:
            return
        closing = tag if empty else self._tag()
        if depth == self._rdf:
            self._closing = closing
        elif depth == self._rdf + 1:
            self._nodes[-1].span = (tag[0], closing[1])
        elif depth == self._rdf + 2:
            self._nodes[-1].properties[-1].span = (tag[0], closing[1])

    def _text(self, data: str) -> None:
        if self._rdf and not self._closing[1] and len(self._open) == self._rdf + 2:
            self._nodes[-1].properties[-1].text += data


def parts(name: str) -> tuple[str, str, str]:
    """Expat's "namespace local prefix", of which the first and last may be missing."""
    found = name.split(" ")
    if len(found) == 1:
        return "", found[0], ""
    return found[0], found[1], found[2] if len(found) > 2 else ""
