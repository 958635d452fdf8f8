"""Read syslog and CEF as a receiver does: written from the formats' text, not from our writer."""

import re
from dataclasses import dataclass

HEADER = re.compile(
    r"<(?P<pri>[1-9]?\d|1[0-8]\d|19[01])>1 (?P<at>\S+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48})"
    r" (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) ",
)
NAME = re.compile(r'[^ =\]"\x00-\x20\x7f-\U0010ffff]{1,32}')


@dataclass
class Read:
    """One message as a receiver understood it."""

    priority: int
    at: str
    host: str
    msgid: str
    elements: dict[str, dict[str, str]]
    text: str


def syslog(data: bytes) -> Read:
    """Return an RFC 5424 message; raises `AssertionError` for anything the grammar forbids."""
    line = data.decode("utf-8")
    assert "\n" not in line
    assert "\x00" not in line
    head = HEADER.match(line)
    assert head, line
    place = head.end()
    elements: dict[str, dict[str, str]] = {}
    if line[place] == "-":
        place += 1
    while place < len(line) and line[place] == "[":
        place, name, params = _element(line, place + 1)
        assert name not in elements
        elements[name] = params
    assert line[place] == " "
    text = line[place + 1 :].removeprefix("\ufeff")
    found = head.groupdict()
    return Read(int(found["pri"]), found["at"], found["host"], found["msgid"], elements, text)


def _element(line: str, place: int) -> tuple[int, str, dict[str, str]]:
    name = NAME.match(line, place)
    assert name
    place, params = name.end(), {}
    while line[place] == " ":
        key = NAME.match(line, place + 1)
        assert key
        assert line[key.end() : key.end() + 2] == '="'
        place, value = _value(line, key.end() + 2)
        params[key.group()] = value
    assert line[place] == "]", line[place:]
    return place + 1, name.group(), params


def _value(line: str, place: int) -> tuple[int, str]:
    value = ""
    while line[place] != '"':
        assert line[place] != "]", "an unescaped bracket"
        if line[place] == "\\" and line[place + 1] in '"\\]':
            place += 1
        value += line[place]
        place += 1
    return place + 1, value


def cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Return header fields and extension of a CEF message."""
    assert text.startswith("CEF:0|")
    fields, place = [""], len("CEF:0|")
    while len(fields) < 7:
        char = text[place]
        if char == "\\":
            place += 1
            assert text[place] in "\\|"
            fields[-1] += text[place]
        elif char == "|":
            fields.append("")
        else:
            fields[-1] += char
        place += 1
        if len(fields) == 7:
            break
    rest = text[place:]
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", rest))
    keys = [key for key in keys if not _escaped(rest, key.end() - 1)]
    found = {}
    for number, key in enumerate(keys):
        end = keys[number + 1].start() if number + 1 < len(keys) else len(rest)
        found[key.group(1)] = re.sub(r"\\([\\=])", r"\1", rest[key.end() : end])
    return fields[:6], found


def _escaped(text: str, place: int) -> bool:
    run = 0
    while place - run - 1 >= 0 and text[place - run - 1] == "\\":
        run += 1
    return run % 2 == 1


def octet_counted(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole messages of an RFC 6587 stream, and what is left over."""
    found = []
    while (space := stream.find(b" ")) > 0:
        assert stream[:space].isdigit(), stream[:20]
        assert not stream.startswith(b"0")
        end = space + 1 + int(stream[:space])
        if len(stream) < end:
            break
        found.append(stream[space + 1 : end])
        stream = stream[end:]
    return found, stream
