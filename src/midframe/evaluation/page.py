"""Write an HTML page of scores: a table of all scenes, and the worst ones behind a slider."""

import base64
import html
import json
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from midframe.evaluation.figures import catch_write_errors
from midframe.evaluation.measures import error_map
from midframe.evaluation.report import Report, SceneScores
from midframe.media.pictures.images import Array
from midframe.outputs import atomic_write

PAGE_FILE = "index.html"
TEMPLATE = Path(__file__).with_name("page.html")
HEADINGS = {"psnr": "PSNR, dB", "ssim": "SSIM", "error": "error", "sharpness": "sharpness"}
FORMATS = {"psnr": ".2f", "ssim": ".3f", "error": ".2f", "sharpness": ".2f"}


def write_page(report: Report, folder: Path, title: str) -> Path:
    """Write a self-contained `index.html` into a folder and return its path."""
    scenes = [_scene_data(report, *each) for each in report.shown]
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        table=_table(report),
        model=json.dumps(report.methods[0]).replace("</", "<\\/"),
        scenes=json.dumps(scenes).replace("</", "<\\/"),
    )
    with catch_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / PAGE_FILE) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return folder / PAGE_FILE


def _scene_data(report: Report, scores: SceneScores, pictures: dict[str, Array]) -> dict[str, Any]:
    """Return the data of a scene for the page's script."""
    shown = {**pictures, "error × 4": error_map(pictures["truth"], pictures[report.methods[0]])}
    images = {name: _embed_image(picture) for name, picture in shown.items()}
    return {"name": scores.scene, "note": _summarise(report, scores), "pictures": images}


def _summarise(report: Report, scores: SceneScores) -> str:
    return ", ".join(f"{method} {scores.measures[method].psnr:.2f} dB" for method in report.methods)


def _table(report: Report) -> str:
    head = "".join(
        f"<th colspan={len(HEADINGS)}>{html.escape(method)}</th>" for method in report.methods
    )
    names = "".join(f"<th>{heading}</th>" for _ in report.methods for heading in HEADINGS.values())
    rows = "".join(_row(scores) for scores in report.rows())
    return f"<tr><th rowspan=2>scene</th>{head}</tr><tr>{names}</tr>{rows}"


def _row(scores: SceneScores) -> str:
    best = max(measures.psnr for measures in scores.measures.values())
    cells = ""
    for measures in scores.measures.values():
        for column, number_format in FORMATS.items():
            mark = " class=best" if column == "psnr" and measures.psnr == best else ""
            cells += f"<td{mark}>{getattr(measures, column):{number_format}}</td>"
    name = " ".join(filter(None, (scores.group, scores.scene)))
    return f"<tr><td>{html.escape(name)}</td>{cells}</tr>"


def _embed_image(image: Array) -> str:
    file = BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=92)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
