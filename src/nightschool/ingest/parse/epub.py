"""E-books: the chapters in reading order, each read as the page it is."""

from __future__ import annotations

import posixpath
import zipfile
from dataclasses import replace
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind
from nightschool.ingest.parse import archive, html

MAX_CHAPTERS = 2000
_DC = "{http://purl.org/dc/elements/1.1/}"


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """Blocks by chapter, the book's title, and a note on chapters that could not be read."""
    with archive.opened(data, "EPUB") as book:
        if "META-INF/encryption.xml" in book.namelist() and _locked(book):
            raise ParseError("the EPUB is copy-protected: it cannot be read")
        where = _package(book)
        package = archive.xml(book, where, "EPUB")
        chapters = _spine(package, posixpath.dirname(where))
        blocks: list[Block] = []
        lost = 0
        for number, name in enumerate(chapters[:MAX_CHAPTERS], start=1):
            try:
                found, heading, _ = html.parse(book.read(name), name)
            except (ParseError, KeyError):
                lost += 1
                continue
            place = f"chapter {number}"
            if found and found[0].kind is not BlockKind.HEADING and heading:
                blocks.append(Block(BlockKind.SCOPE, heading, level=1, place=place))
            blocks += [replace(item, place=place) for item in found]
    if chapters and lost == len(chapters):
        raise ParseError("the EPUB is damaged: none of its chapters can be read")
    title = next((node.text or "" for node in package.iter(f"{_DC}title")), "").strip()
    note = f"{lost} of {len(chapters)} chapters could not be read" if lost else ""
    return blocks, title, note


def _local(node: Element) -> str:
    return str(node.tag).rpartition("}")[2]


def _package(book: zipfile.ZipFile) -> str:
    container = archive.xml(book, "META-INF/container.xml", "EPUB")
    found = next((node for node in container.iter() if _local(node) == "rootfile"), None)
    if found is None or not found.get("full-path"):
        raise ParseError("the EPUB is damaged: it names no book")
    return str(found.get("full-path"))


def _spine(package: Element, folder: str) -> list[str]:
    """Names of the chapters' parts, in reading order."""
    manifest = {
        node.get("id"): posixpath.normpath(posixpath.join(folder, unquote(node.get("href") or "")))
        for node in package.iter()
        if _local(node) == "item"
    }
    wanted = [node.get("idref") for node in package.iter() if _local(node) == "itemref"]
    return list(dict.fromkeys(manifest[one] for one in wanted if one in manifest))


def _locked(book: zipfile.ZipFile) -> bool:
    """Whether more than fonts is encrypted: garbled fonts are common and say nothing."""
    root = archive.xml(book, "META-INF/encryption.xml", "EPUB")
    names = [node.get("URI") or "" for node in root.iter() if _local(node) == "CipherReference"]
    return any(name.lower().endswith((".xhtml", ".html", ".htm", ".xml")) for name in names)
