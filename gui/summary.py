"""The summary of a session on one page: what was done, how it went, what happened, where it is."""

from __future__ import annotations

import base64
import html
import math
import os
from typing import Any

import numpy as np
from pyqtgraph.Qt import QtCore, QtGui

from gui import performance, theme
from gui.store import Store

WIDTH, HEIGHT = 640, 190  # of a picture, pixels
STYLE = """
body{font-family:'BMI Sans',sans-serif;font-size:10pt;color:#10171e;background:#ffffff}
h1{font-size:17pt;margin-bottom:2px} h2{font-size:12pt;margin:12px 0 3px} td,th{padding:2px 9px 2px 0;text-align:left}
th{color:#4d5c69;font-weight:normal} p{margin:3px 0}
"""
MOST_EVENTS = 25  # the newest serious ones


def clock(seconds: float) -> str:
    """Return session time as minutes and seconds."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def pictures(store: Store) -> dict[str, QtGui.QImage]:
    """Return the curves of the page: time to target of every trial, and success over trials."""
    trials = store.trials.view
    if not len(trials):
        return {}
    numbers, good = np.arange(1, len(trials) + 1, dtype=float), trials["success"] != 0
    window = min(20, len(trials))
    sums = np.concatenate([[0.0], np.cumsum(good)])
    first = np.maximum(np.arange(1, len(trials) + 1) - window, 0)
    share = (sums[1:] - sums[first]) / (np.arange(1, len(trials) + 1) - first)
    marks = [float(np.searchsorted(trials["t_s"], mark.t_s)) + 0.5 for mark in store.marks if mark.kind == "change"]
    return {
        "time": _drawn(numbers, trials["time_s"], good, "time to target (s) of each trial", marks, joined=False),
        "success": _drawn(numbers, 100 * share, None, f"success (%) over the last {window} trials", marks, top=100.0),
    }


def _drawn(x, y, good, title: str, marks, joined: bool = True, top: float | None = None) -> QtGui.QImage:
    image = QtGui.QImage(2 * WIDTH, 2 * HEIGHT, QtGui.QImage.Format.Format_RGB32)
    image.fill(QtGui.QColor("#ffffff"))
    painter = QtGui.QPainter(image)
    painter.scale(2.0, 2.0)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    top = top or 1.1 * float(np.nanmax(y))
    left, low, right, high = 40.0, HEIGHT - 22.0, WIDTH - 8.0, 22.0

    def at(px: float, py: float) -> QtCore.QPointF:
        return QtCore.QPointF(left + (px - 1) / max(len(x) - 1, 1) * (right - left), low - py / top * (low - high))

    font = QtGui.QFont("BMI Sans")
    font.setPixelSize(11)
    painter.setFont(font)
    painter.setPen(QtGui.QColor("#4d5c69"))
    painter.drawText(QtCore.QPointF(left, 13), title)
    painter.drawLine(QtCore.QPointF(left, low), QtCore.QPointF(right, low))
    for share in (0.0, 0.5, 1.0):
        painter.drawText(QtCore.QPointF(4, low - share * (low - high) + 4), f"{top * share:.3g}")
        painter.drawText(
            QtCore.QPointF(left + share * (right - left - 30), HEIGHT - 6), f"{1 + share * (len(x) - 1):.0f}"
        )
    painter.setPen(QtGui.QPen(QtGui.QColor("#b06a00"), 1, QtCore.Qt.PenStyle.DashLine))
    for mark in marks:
        painter.drawLine(at(mark, 0.0), at(mark, top))
    painter.setPen(QtGui.QPen(QtGui.QColor(theme.BLUE), 1.6))
    points = [at(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    if joined:
        painter.drawPolyline(QtGui.QPolygonF(points))
    else:
        _dots(painter, points, good)
    painter.end()
    return image


def _dots(painter, points, good) -> None:
    for point, reached in zip(points, good, strict=True):
        if reached:
            painter.setPen(QtCore.Qt.PenStyle.NoPen)
            painter.setBrush(QtGui.QColor("#007a58"))
            painter.drawEllipse(point, 2.6, 2.6)
        else:
            painter.setPen(QtGui.QPen(QtGui.QColor("#b84400"), 1.8))
            for dx, dy in ((3, 3), (3, -3)):
                painter.drawLine(point - QtCore.QPointF(dx, dy), point + QtCore.QPointF(dx, dy))


def page(store: Store, images: dict[str, str], width: int = WIDTH) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    store : Store
    images : dict of str
        Address of every picture of :func:`pictures`.
    width : int
        Of a picture, pixels.
    """
    metadata = store.config.get("metadata") or {}
    who = [str(metadata[key]) for key in ("subject_id", "species") if metadata.get(key)]
    title = html.escape(", ".join(who) or "Session")
    parts = [f"<html><head><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style></head><body>"]
    parts.append(f"<h1>{title}</h1>")
    parts.append(_facts(store, metadata))
    if not len(store.trials):
        parts.append("<p>No trial has ended yet.</p>")
    for way, heading in (("block", "Blocks"), ("target", "Targets")):
        parts.append(_table(performance.grouped(store.trials.view, store.blocks, way), heading))
    parts += [f"<p><img src='{address}' width='{width}'></p>" for address in images.values()]
    parts.append(_events(store))
    return "".join(parts) + "</body></html>"


def _facts(store: Store, metadata: dict[str, Any]) -> str:
    latency = store.health.get("latency_us") or {}
    settings = store.config
    rows = {
        "Experimenter": ", ".join(metadata.get("experimenter") or ()),
        "Description": metadata.get("session_description", ""),
        "Notes": metadata.get("notes", ""),
        "Length": f"{clock(store.elapsed_s)} ({store.bin} bins of {1000 * store.bin_s:g} ms)",
        "Source": f"{settings.get('source', {}).get('kind', '')}, {store.n_units} units",
        "Decoder": f"{store.live.get('decoder.kind') or settings.get('decoder', {}).get('kind', '')}, learning rate "
        f"{store.live.get('adapter.learning_rate', settings.get('adapter', {}).get('learning_rate', ''))} per bin",
        "Latency": f"median {latency['p50']:.0f} µs, p99 {latency['p99']:.0f} µs, "
        f"{store.health.get('deadline_misses', 0)} bins late"
        if latency.get("p50") is not None
        else "",
        "Recording": os.path.basename(store.recording or "") or "not recorded",
        "Folder": os.path.dirname(store.recording or ""),
    }
    lines = (f"<tr><th>{key}</th><td>{html.escape(str(value))}</td></tr>" for key, value in rows.items() if value)
    return f"<table>{''.join(lines)}</table>"


def _table(groups: list[performance.Group], heading: str) -> str:
    if not groups:
        return ""
    head = "<tr><th></th><th>trials</th><th>success</th><th>95 % interval</th><th>time to target</th></tr>"
    rows = []
    for found in groups:
        time = f"{found.median_s:.2f} s" if math.isfinite(found.median_s) else "–"
        if math.isfinite(found.inside):
            time = f"{100 * found.inside:.0f} % on target"
        interval = f"{100 * found.low:.0f} to {100 * found.high:.0f} %"
        cells = (html.escape(found.label), found.trials, f"{100 * found.rate:.0f} %", interval, time)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<h2>{heading}</h2><table>{head}{''.join(rows)}</table>"


def _events(store: Store) -> str:
    told = [event for event in store.events if event.kind not in ("trial", "unit")]
    serious = [event for event in told if event.severity != "information" or event.kind in ("note", "command")]
    rows = [
        f"<tr><th>{clock(event.t_s)}</th><td>{html.escape(event.text)}</td></tr>" for event in serious[-MOST_EVENTS:]
    ]
    left = len(serious) - len(rows)
    more = f"<p>{left} earlier ones are in the recording.</p>" if left else ""
    return f"<h2>What happened</h2><table>{''.join(rows)}</table>{more}" if rows else ""


def as_html(store: Store) -> str:
    """Return the page with its pictures inside, as one file."""
    return page(store, {name: f"data:image/png;base64,{_base64(image)}" for name, image in pictures(store).items()})


def _base64(image: QtGui.QImage) -> str:
    buffer = QtCore.QBuffer()
    buffer.open(QtCore.QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return base64.b64encode(bytes(buffer.data())).decode()


def document(store: Store, width: int = WIDTH) -> QtGui.QTextDocument:
    """Return the page as a document for the screen and for paper, its pictures so many pixels wide."""
    made, found = QtGui.QTextDocument(), pictures(store)
    for name, image in found.items():
        made.addResource(QtGui.QTextDocument.ResourceType.ImageResource, QtCore.QUrl(f"picture:{name}"), image)
    made.setHtml(page(store, {name: f"picture:{name}" for name in found}, width))
    return made


def save(store: Store, path: str) -> None:
    """Write the page as HTML or, where the name ends in .pdf, as PDF.

    Raises
    ------
    OSError
        When it cannot be written whole; no half of it is left.
    """
    partial = f"{path}.part"
    try:
        if path.lower().endswith(".pdf"):
            _save_pdf(store, partial)
        else:
            with open(partial, "w", encoding="utf-8") as file:
                file.write(as_html(store))
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _save_pdf(store: Store, path: str) -> None:
    with open(path, "wb"):
        pass  # a folder that cannot be written says so here; Qt would only print it
    writer = QtGui.QPdfWriter(path)
    writer.setPageSize(QtGui.QPageSize(QtGui.QPageSize.PageSizeId.A4))
    writer.setResolution(96)
    made = document(store)
    made.setPageSize(QtCore.QSizeF(writer.width(), writer.height()))
    (made.print_ if hasattr(made, "print_") else made.print)(writer)
    del writer
    if os.path.getsize(path) < 500:
        raise OSError(28, "No space left on device")
