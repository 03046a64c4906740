"""One small, right file of every format, made by the libraries that write them."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from collections.abc import Callable

MESSAGE = (
    b"From: Bram Orrel <bram@example.org>\r\nTo: Wren\r\nSubject: =?utf-8?q?The_M=C3=BChle?=\r\n"
    b"Date: Tue, 05 Mar 2024 14:02:00 +0000\r\nMessage-ID: <mill-1@example.org>\r\n"
    b'Content-Type: multipart/mixed; boundary="XX"\r\n\r\n'
    b"--XX\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe wheel of the mill turns.\r\n"
    b"--XX\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=parts.csv\r\n\r\n"
    b"Part,Price\r\nCog,12\r\n"
    b"--XX\r\nContent-Disposition: attachment; filename=photos.zip\r\n\r\nPK\r\n--XX--\r\n"
)


def docx() -> bytes:
    import docx

    made = docx.Document()
    made.core_properties.title = "Boiler manual"
    made.add_heading("Pressure", 1)
    made.add_paragraph("Keep it at 1.4 bar.")
    made.add_paragraph("red tap", style="List Bullet")
    made.add_paragraph("blue tap", style="List Bullet")
    table = made.add_table(2, 2)
    for index, text in enumerate(("Part", "Price", "Valve", "12")):
        table.cell(index // 2, index % 2).text = text
    return _saved(made.save)


def pptx() -> bytes:
    import pptx

    made = pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "Plan of the mill"
    slide.placeholders[1].text = "Mend the wheel\nPaint the door"
    slide.notes_slide.notes_text_frame.text = "Ask Bram."
    slide = made.slides.add_slide(made.slide_layouts[5])
    slide.shapes.title.text = "Costs"
    table = slide.shapes.add_table(2, 2, 0, 0, 100, 100).table
    for index, text in enumerate(("Part", "Price", "Cog", "12")):
        table.cell(index // 2, index % 2).text = text
    return _saved(made.save)


def xlsx() -> bytes:
    import openpyxl

    made = openpyxl.Workbook()
    sheet = made.active
    assert sheet is not None
    sheet.title = "Costs"
    sheet.append(["Part", "Price", "Bought"])
    sheet.append(["Cog", 12.5, datetime.datetime(2024, 5, 1)])
    sheet.append([])
    sheet.append(["Belt", 3, None])
    made.create_sheet("Empty")
    return _saved(made.save)


def zipped(parts: dict[str, str | bytes], stored: tuple[str, ...] = ()) -> bytes:
    """A zip of these parts."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in parts.items():
            made.writestr(name, text, zipfile.ZIP_STORED if name in stored else None)
    return stream.getvalue()


def epub() -> bytes:
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="O/c.opf"/>'
            "</rootfiles></container>",
            "O/c.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>'
            'The Mill</dc:title></metadata><manifest><item id="a" href="a.xhtml"/>'
            '<item id="b" href="b%20c.xhtml"/></manifest><spine><itemref idref="b"/>'
            '<itemref idref="a"/></spine></package>',
            "O/a.xhtml": "<html><body><h1>Autumn</h1><p>The wheel stood still.</p></body></html>",
            "O/b c.xhtml": "<html><body><h1>Summer</h1><p>The wheel turned.</p></body></html>",
        },
        ("mimetype",),
    )


def pdf() -> bytes:
    import fpdf

    made = fpdf.FPDF()
    for number in (1, 2):
        made.add_page()
        made.set_font("Helvetica", size=12)
        made.multi_cell(0, 8, f"Page {number} of the book tells of the mill and of its wheel.")
    return bytes(made.output())


def notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# The mill\n", "What the wheel does."]},
        {
            "cell_type": "code",
            "source": "print(speed * 2)",
            "outputs": [{"output_type": "stream", "text": ["24\n"]}],
        },
    ]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def chatgpt() -> bytes:
    def node(parent: str | None, role: str, text: str) -> dict[str, object]:
        said = {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}}
        return {"parent": parent, "message": said}

    mapping = {
        "a": {"parent": None, "message": None},
        "b": node("a", "user", "How fast is the wheel?"),
        "c": node("b", "assistant", "It turns nine times a minute."),
        "d": node("b", "assistant", "An answer that was not kept."),
    }
    chat = {"title": "The wheel", "create_time": 1700000000, "current_node": "c"}
    return json.dumps([chat | {"mapping": mapping}]).encode()


def claude() -> bytes:
    said = [
        {"sender": "human", "text": "Who owns the mill?", "content": []},
        {"sender": "assistant", "text": "", "content": [{"type": "text", "text": "Bram does."}]},
    ]
    chat = {"name": "The owner", "created_at": "2024-05-01T10:00:00Z", "chat_messages": said}
    return json.dumps([chat]).encode()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "md": lambda: b"# The mill\n\nThe wheel turns.\n\n| Part | Price |\n|---|---|\n| Cog | 12 |\n",
    "txt": lambda: b"The mill\n========\n\nThe wheel turns.\n\n- one\n- two\n",
    "rst": lambda: (
        b"The mill\n========\n\nSee :ref:`the wheel <wheel>` and ``cog``.\n\n"
        b".. note:: Mind the belt.\n\n.. include:: /etc/passwd\n\n.. code-block:: sh\n\n"
        b"   turn wheel\n\nParts\n-----\n\n=====  =====\nPart   Price\n=====  =====\n"
        b"Cog    12\n=====  =====\n"
    ),
    "org": lambda: (
        b"#+TITLE: The mill\n* TODO Mend [[https://example.org/w][the wheel]] :house:\n"
        b":PROPERTIES:\n:ID: 7\n:COST: 12\n:END:\nSome *bold* words.\n| Part | Price |\n"
        b"|------+-------|\n| Cog  | 12    |\n#+begin_src sh\nturn wheel\n#+end_src\n"
    ),
    "html": lambda: b"<html><title>Mill</title><h1>The mill</h1><p>The wheel turns.</p></html>",
    "pdf": pdf,
    "docx": docx,
    "pptx": pptx,
    "xlsx": xlsx,
    "csv": lambda: b'Part;Price\nCog;12,50\n"Long\nbelt";3\n',
    "epub": epub,
    "rtf": lambda: rb"{\rtf1\ansi{\info{\title The mill}}{\b The wheel}\par turns \'fcber.\par}",
    "eml": lambda: MESSAGE,
    "mbox": lambda: (
        b"From bram Tue Mar  5 14:02:00 2024\n"
        + MESSAGE.replace(b"\r\n", b"\n")
        + b"\nFrom wren Tue Mar  5 15:00:00 2024\nSubject: Again\n\n>From here on it is quiet.\n"
    ),
    "ics": lambda: (
        b"BEGIN:VCALENDAR\r\nX-WR-CALNAME:Mill\r\nBEGIN:VEVENT\r\nSUMMARY:Wheel inspection\r\n"
        b"DTSTART:20240305T140000Z\r\nDTEND:20240305T150000Z\r\nLOCATION:Mill Lane 3\r\n"
        b"RRULE:FREQ=YEARLY\r\nATTENDEE;CN=Bram:mailto:bram@example.org\r\nEND:VEVENT\r\n"
        b"END:VCALENDAR\r\n"
    ),
    "vcf": lambda: (
        b"BEGIN:VCARD\nVERSION:2.1\nN:Orrel;Bram;;;\nTEL;CELL:0161 496 0123\n"
        b"NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:mills f=C3=BCr=\n immer\nEND:VCARD\n"
        b"BEGIN:VCARD\nVERSION:4.0\nFN:Wren\nitem1.EMAIL;TYPE=work:wren@example.org\nEND:VCARD\n"
    ),
    "ipynb": notebook,
    "json": lambda: json.dumps(
        {"name": "Mill", "open": True, "parts": [{"part": "Cog", "price": 12}] * 2}
    ).encode(),
    "jsonl": lambda: b'{"part": "Cog"}\n{"part": {"name": "Belt"}}\nbroken\n',
    "py": lambda: (
        b'"""The mill."""\n\nimport os\n\n\n# Turns it.\ndef turn(wheel):\n    return wheel\n\n\n'
        b"class Wheel:\n    spokes = 8\n\n    @property\n    def speed(self):\n        return 9\n"
    ),
}
"""By suffix."""
