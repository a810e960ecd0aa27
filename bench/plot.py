"""The table of `bench.line` as a picture: bars of what reaches how much of the plain loop."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from bench.report import Figures, facts

_WIDTH, _LEFT, _BAR, _GAP, _TOP = 760, 250, 18, 8, 46
_COLOURS = {"cadmill": "#1f6f8b", "Celery, a message an item": "#b8b8b8"}


def plot(figures: Figures, database: str, path: Path) -> None:
    """Write the picture as SVG."""
    bars: list[tuple[str, str, float]] = []
    for row in figures.rows:
        if row.ratio is not None:
            bars.append((row.name, "cadmill", row.ratio))
        if row.celery_ratio is not None:
            bars.append(("", "Celery, a message an item", row.celery_ratio))
    title = escape(f"Of the throughput of a plain loop, over HTTP with every item committed ({database.split()[0]})")
    foot = escape(f"{facts()}; median of {figures.rounds} interleaved rounds, 2 processes each")
    height = _TOP + len(bars) * (_BAR + _GAP) + 40
    scale = (_WIDTH - _LEFT - 70) / 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-size="15">{title}</text>',
    ]
    for place, (name, who, ratio) in enumerate(bars):
        y = _TOP + place * (_BAR + _GAP)
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{min(ratio, 1.05) * scale:.1f}" height="{_BAR}" fill="{_COLOURS[who]}"/>')
        label, ink = f"{who if who != 'cadmill' else ''} {ratio:.2f}".strip(), "#ffffff" if who == "cadmill" else "#222222"
        end = _LEFT + min(ratio, 1.05) * scale - 6
        parts.append(f'<text x="{end:.1f}" y="{y + 14}" text-anchor="end" fill="{ink}">{escape(label)}</text>')
    parts.append(
        f'<line x1="{_LEFT + scale}" y1="{_TOP - 6}" x2="{_LEFT + scale}" y2="{height - 34}" stroke="#444" stroke-dasharray="4 3"/>'
    )
    parts.append(f'<text x="10" y="{height - 12}" font-size="11" fill="#555">{foot}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
    print(f"written: {path}")
