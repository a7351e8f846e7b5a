"""The record of the edit goes into the packet, and nothing else of it changes."""

import xml.etree.ElementTree as ET

import pytest

from stages.xmp import SOURCE_TYPE, EditRecord, edited, renewed
from stages.xmp_reader import IPTC, OURS, RDF, UnreadablePacketError

RECORD = EditRecord("Daguerre 0.1.0", ("classic", 'pm"r<f'), "5e11")
LATER = EditRecord("Daguerre 0.2.0", ("vspbfr",), "77aa")
OPENING = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
CLOSING = '</x:xmpmeta>\n{}<?xpacket end="w"?>'.format(" " * 200)


def packet(nodes: str, prefix: str = "rdf") -> bytes:
    """A packet with these nodes, in which ``@`` stands for the prefix of RDF."""
    rdf = f'<@:RDF xmlns:@="{RDF}">{nodes}</@:RDF>'
    return (OPENING + rdf.replace("@", prefix) + CLOSING).encode()


def node(inside: str = "", attributes: str = "", about: str = "") -> str:
    return f'<@:Description @:about="{about}" xmlns:e="{IPTC}" {attributes}>{inside}</@:Description>'


def values(content: bytes, name: str) -> list[str]:
    """All values of a property, attribute or element, wherever it stands."""
    found: list[str] = []
    for element in ET.fromstring(content.decode("utf-8-sig").strip("\0").encode()).iter():
        found += [value for key, value in element.items() if key == name]
        found += [element.text or ""] if element.tag == name else []
    return found


def source_types(content: bytes) -> list[str]:
    return values(content, f"{{{IPTC}}}DigitalSourceType")


def test_a_photo_without_a_packet_gets_one_with_all_that_is_said() -> None:
    made = edited(None, RECORD)
    assert made.startswith(b"<?xpacket begin=")
    assert made.endswith(b'<?xpacket end="w"?>')
    assert source_types(made) == [SOURCE_TYPE]
    assert values(made, f"{{{OURS}}}Software") == ["Daguerre 0.1.0"]
    assert values(made, f"{{{OURS}}}Action") == ["faces restored"]
    assert values(made, f"{{{OURS}}}Recipe") == ["5e11"]
    assert values(made, f"{{{RDF}}}li") == ["classic", 'pm"r<f']
    assert edited(b"", RECORD) == edited(b" \0", RECORD) == made


@pytest.mark.parametrize("prefix", ["rdf", "r"])
def test_all_else_of_a_packet_stays_byte_for_byte(prefix: str) -> None:
    old = packet(node("<e:Note>a &amp; b</e:Note>\n", 'e:LayoutFlag="x>y"') + "\n ", prefix)
    new = edited(old, RECORD)
    place = old.index(b"</" + prefix.encode() + b":Description>") + len(prefix) + 15
    assert new.startswith(old[:place])
    assert new.endswith(old[place:])
    assert source_types(new) == [SOURCE_TYPE]


def test_a_second_run_replaces_the_first_ones_record() -> None:
    old = packet(node())
    once = edited(old, RECORD)
    assert edited(once, RECORD) == once
    assert edited(once, LATER) == edited(old, LATER)
    assert edited(edited(None, RECORD), LATER) == edited(None, LATER)


@pytest.mark.parametrize(
    "nodes",
    [
        node(attributes='e:DigitalSourceType="negativeFilm"'),
        node(attributes="e:DigitalSourceType = 'negativeFilm' e:Other='1'"),
        node("\n <e:DigitalSourceType>negativeFilm</e:DigitalSourceType><e:Other/>"),
        node(f'<e:DigitalSourceType xmlns:q="{RDF}" q:resource="negativeFilm"/>'),
        node() + node("<e:DigitalSourceType>negativeFilm</e:DigitalSourceType>"),
        f'<@:Description @:about="" xmlns:i="{IPTC}" i:DigitalSourceType="negativeFilm"/>',
    ],
)
def test_another_source_type_is_replaced_and_remembered(nodes: str) -> None:
    old = packet(nodes)
    once = edited(old, RECORD)
    assert source_types(once) == [SOURCE_TYPE]
    assert values(once, f"{{{OURS}}}FormerDigitalSourceType") == ["negativeFilm"]
    assert values(once, f"{{{IPTC}}}Other") == values(old, f"{{{IPTC}}}Other")
    twice = edited(once, LATER)
    assert values(twice, f"{{{OURS}}}FormerDigitalSourceType") == ["negativeFilm"]
    assert source_types(twice) == [SOURCE_TYPE]


def test_source_types_of_other_things_in_the_packet_stay() -> None:
    inner = '<e:Parts><@:Bag><@:li e:DigitalSourceType="print"/></@:Bag></e:Parts>'
    assert source_types(edited(packet(node(inner)), RECORD)) == ["print", SOURCE_TYPE]


def test_a_record_that_another_program_merged_into_its_own_node_is_replaced() -> None:
    merged = (
        f'<@:Description @:about="" xmlns:d="{OURS}" d:Recipe="old" xmlns:e="{IPTC}" e:Other="1"><d:Action>x</d:Action>'
    )
    new = edited(packet(merged + "<e:Note>kept</e:Note></@:Description>"), RECORD)
    assert values(new, f"{{{OURS}}}Recipe") == ["5e11"]
    assert values(new, f"{{{OURS}}}Action") == ["faces restored"]
    assert values(new, f"{{{IPTC}}}Note") == ["kept"]
    assert values(new, f"{{{IPTC}}}Other") == ["1"]


def test_the_record_is_about_what_the_packet_is_about() -> None:
    new = edited(packet(node(about="uuid:1")), RECORD)
    assert values(new, f"{{{RDF}}}about") == ["uuid:1", "uuid:1"]


def test_an_empty_rdf_is_filled() -> None:
    old = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="{RDF}" /></x:xmpmeta>'.encode()
    new = edited(old, RECORD)
    assert source_types(new) == [SOURCE_TYPE]
    assert edited(new, RECORD) == new


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_packet_stays_in_its_encoding(encoding: str, mark: str) -> None:
    text = mark + packet(node("<e:Note>Grüße</e:Note>")).decode()
    new = edited(text.encode(encoding), RECORD)
    assert new.decode(encoding) == mark + edited(packet(node("<e:Note>Grüße</e:Note>")), RECORD).decode()


@pytest.mark.parametrize("rest", [b"\0", b"\0\0\n", b"   "])
def test_padding_behind_a_packet_stays(rest: bytes) -> None:
    assert edited(packet(node()) + rest, RECORD) == edited(packet(node()), RECORD) + rest


@pytest.mark.parametrize(
    "damaged",
    [
        b"no XML",
        packet(node())[:-300],
        packet(node()).replace(b"</rdf:Desc", b"</rdf:Dusc"),
        b"<x/>",
        packet(node()).replace(b"rdf:about", b"\xff\xfe:about"),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + packet("&b;")[60:],
        b"<a xmlns:b='" + b"c" * 999,
    ],
)
def test_a_packet_that_cannot_be_read_is_left_and_the_reason_told(damaged: bytes) -> None:
    with pytest.raises(UnreadablePacketError):
        edited(damaged, RECORD)
    left, note = renewed(lambda old: edited(old, RECORD), damaged)
    assert left == damaged
    assert "left as it is" in note


def test_no_entity_is_expanded() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
    with pytest.raises(UnreadablePacketError, match="document type"):
        edited(bomb, RECORD)


def test_what_another_program_said_since_is_the_former_source_type() -> None:
    said = f'e:DigitalSourceType="since" xmlns:o="{OURS}" o:FormerDigitalSourceType="at first"'
    assert values(edited(packet(node(attributes=said)), RECORD), f"{{{OURS}}}FormerDigitalSourceType") == ["since"]


def test_only_rdf_says_what_a_packet_is_about() -> None:
    made = edited(packet(node(attributes='xmlns:f="urn:other" f:about="a river"', about="uuid:7")), RECORD)
    assert values(made, f"{{{RDF}}}about") == ["uuid:7", "uuid:7"]


@pytest.mark.parametrize("nodes", ["", node("<e:Note>a</e:Note>")])
def test_what_stands_behind_the_graph_is_no_property(nodes: str) -> None:
    old = packet(nodes).replace(b"</x:xmpmeta>", b"<y><z>a<b>text</b></z></y></x:xmpmeta>")
    made = edited(old, RECORD)
    assert b"<y><z>a<b>text</b></z></y>" in made
    assert source_types(made) == [SOURCE_TYPE]
