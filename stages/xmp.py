"""The record of the edit in a photo's XMP packet; all else of the packet stays as it is, byte for byte.

Names are those of the XMP specification (ISO 16684-1) and of IPTC's Extension schema.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from stages.picture import Xmp
from stages.xmp_reader import IPTC, OURS, RDF, Node, Reader, UnreadablePacketError

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

FRESH = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>'
)
ENCODINGS = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
    b"<\0\0\0": "utf-32-le",
    b"\0\0\0<": "utf-32-be",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}


@dataclass(frozen=True, slots=True)
class EditRecord:
    """What the packet says of an edit: "Daguerre 0.1.0", the methods' names, the recipe's hash, what was done."""

    software: str
    methods: tuple[str, ...]
    recipe: str
    action: str = "faces restored"


def renewed(xmp: Xmp, packet: bytes | None) -> tuple[bytes | None, str]:
    """The packet to write and a note: that of ``xmp``, or the old one where it cannot be read, with the reason."""
    try:
        return xmp(packet), ""
    except UnreadablePacketError as error:
        return packet, f"the XMP packet is left as it is, without the record of the edit: {error}"


def edited(packet: bytes | None, record: EditRecord) -> bytes:
    """The packet with the record of the edit in it, in place of an earlier one. Deterministic.

    A former digital source type is kept as a property of ours. Raises ``UnreadablePacketError`` for what is no
    well-formed XMP, and for a packet with a document type definition, which could hide anything.
    """
    text, encoding = decoded(packet) if packet else ("", "utf-8")
    body = text.strip("\0 \t\r\n\ufeff")
    head, tail = text[: text.find(body)], text[text.find(body) + len(body) :]
    if not body:
        head, body, tail = "", FRESH, ""
    changed = with_record(body.encode(), record)
    Reader(changed).graph()
    return (head + changed.decode() + tail).encode(encoding)


def decoded(packet: bytes) -> tuple[str, str]:
    """A packet's text and its encoding, which a byte order mark or the first character's zeros tell."""
    encoding = next((name for start, name in ENCODINGS.items() if packet.startswith(start)), "utf-8")
    try:
        return packet.decode(encoding), encoding
    except UnicodeDecodeError as error:
        raise UnreadablePacketError(f"it is no {encoding}") from error


def with_record(packet: bytes, record: EditRecord) -> bytes:
    """A packet in UTF-8 without what an earlier edit said, and with what this one has to say."""
    graph = Reader(packet).graph()
    cuts = [cut for node in graph.nodes for cut in cuts_of(packet, node)]
    node = description(record, about_of(graph.nodes), former_source_type(graph.nodes)).encode()
    if graph.opening == graph.closing:
        start, stop = graph.opening
        name = packet[start + 1 : stop].split(maxsplit=1)[0].removesuffix(b"/>")
        return packet[:start] + packet[start : stop - 2].rstrip() + b">" + node + b"\n</" + name + b">" + packet[stop:]
    place = len(packet[: graph.closing[0]].rstrip())
    result, end = b"", 0
    for start, stop in [*sorted(cuts), (place, place)]:
        result += packet[end:start]
        end = stop
    return result + node + packet[end:]


def cuts_of(packet: bytes, node: Node) -> list[tuple[int, int]]:
    """What goes from a node: all of it if it is ours, else the properties that are replaced."""
    spans = [node.span] if node.is_ours else [each.span for each in node.properties if each.replaced]
    attributes = {each.span for each in node.properties if each.attribute}
    return [span if span in attributes else (len(packet[: span[0]].rstrip()), span[1]) for span in spans]


def about_of(nodes: list[Node]) -> str:
    """All nodes of a packet are about the same thing, in most "" for the file itself."""
    return next((node.about for node in nodes), "")


def former_source_type(nodes: list[Node]) -> str:
    """The digital source type before the first edit of ours, as far as known."""
    found = {
        (each.namespace, each.local): each.text
        for node in nodes
        for each in node.properties
        if each.replaced and each.text and each.text != SOURCE_TYPE
    }
    return found.get((IPTC, "DigitalSourceType")) or found.get((OURS, "FormerDigitalSourceType"), "")


def description(record: EditRecord, about: str, former: str) -> str:
    """The node with the record of an edit. It declares its own prefixes, whatever the packet uses."""
    attributes = {
        "xmlns:rdf": RDF,
        "rdf:about": about,
        "xmlns:Iptc4xmpExt": IPTC,
        "xmlns:daguerre": OURS,
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "daguerre:Software": record.software,
        "daguerre:Action": record.action,
        "daguerre:Recipe": record.recipe,
    }
    if former:
        attributes["daguerre:FormerDigitalSourceType"] = former
    lines = "".join(f"\n    {name}={quoteattr(value)}" for name, value in attributes.items())
    methods = "".join(f"\n     <rdf:li>{escape(method)}</rdf:li>" for method in record.methods)
    listed = f"\n   <daguerre:Methods>\n    <rdf:Seq>{methods}\n    </rdf:Seq>\n   </daguerre:Methods>"
    return f"\n  <rdf:Description{lines}>{listed}\n  </rdf:Description>"
