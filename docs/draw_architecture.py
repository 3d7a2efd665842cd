"""Draw the components of midframe and their imports, as read from the code.

    python docs/draw_architecture.py        # writes docs/images/architecture.svg

A component is a module or a package in src/midframe. An arrow means "imports". An arrow that
follows from two others is omitted: cli imports media, but so does video, which cli imports.
Single modules that import only each other are drawn as one box, without the arrows to it.
"""

import ast
from itertools import pairwise
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "src" / "midframe"
PICTURE = DOCS / "images" / "architecture.svg"
Graph = dict[str, set[str]]
Point = tuple[float, float]
BOX = (108, 30)
"""Width and height of a box."""
GAP = 20
"""Distance between boxes of a row, and the width of an arrow that passes a row."""
ROW = 76
"""Distance between rows."""
MARGIN = 16
SWEEPS = 12
"""How often the order within the rows is improved."""
STYLE = """<style>
  text { font: 13px sans-serif; text-anchor: middle; dominant-baseline: central; fill: #1f2328; }
  rect { rx: 5px; stroke: #57606a; fill: #ffffff; } .folder { fill: #ddf4ff; }
  path { stroke: #57606a; fill: none; } .tip { marker-end: url(#tip); }
</style>"""
TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8z" style="fill: #57606a; stroke: none"/></marker>'
)


def imported_components(path: Path) -> set[str]:
    """Return the components that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            package = node.module or ""
            single = package == "midframe"
            found |= {f"midframe.{each.name}" for each in node.names} if single else {package}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return {name.split(".")[1] for name in found if name.startswith("midframe.")}


def read_graph() -> Graph:
    """Return the imports of every component, without `__init__.py` and `__main__.py`."""
    graph: Graph = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        component = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if not component.startswith("__"):
            graph.setdefault(component, set()).update(imported_components(path) - {component})
    return graph


def base_modules(graph: Graph) -> set[str]:
    """Return the single modules that import only each other."""
    modules = {component for component in graph if not (PACKAGE / component).is_dir()}
    while wrong := {component for component in modules if not graph[component] <= modules}:
        modules -= wrong
    return modules


def reach(graph: Graph, component: str) -> set[str]:
    """Return all components that a component imports, directly or through others."""
    return graph[component].union(*(reach(graph, each) for each in graph[component]))


def reduce_graph(graph: Graph) -> Graph:
    """Omit the base modules, and the arrows that follow from others."""
    base = base_modules(graph)
    kept = {
        component: components - base
        for component, components in graph.items()
        if component not in base
    }
    return {
        component: components - set().union(*(reach(kept, each) for each in components))
        for component, components in kept.items()
    }


def heights(graph: Graph) -> dict[str, int]:
    """Return the row of each component, counted from the components that import nothing."""

    def height(component: str) -> int:
        return 1 + max((height(each) for each in graph[component]), default=-1)

    return {component: height(component) for component in graph}


def split_long_arrows(graph: Graph) -> Graph:
    """Add a waypoint in each row that an arrow passes, so that no arrow crosses a box."""
    height = heights(graph)
    result: Graph = {component: set() for component in graph}
    for component in sorted(graph):
        for end in sorted(graph[component]):
            rows = range(height[end] + 1, height[component])
            path = [end, *(f"{component}>{end}>{row}" for row in rows), component]
            for lower, upper in pairwise(path):
                result.setdefault(upper, set()).add(lower)
    return result


def arrange(graph: Graph) -> list[list[str]]:
    """Return the rows, lowest first, in an order in which few arrows cross."""
    height = heights(graph)
    rows: list[list[str]] = [[] for _ in range(1 + max(height.values()))]
    for node in sorted(graph):
        rows[height[node]].append(node)
    for _ in range(SWEEPS):
        for row in [*rows, *reversed(rows)]:
            places = places_of(rows)
            row.sort(key=lambda node: (mean_place(graph, node, places), node))
    return rows


def mean_place(graph: Graph, node: str, places: dict[str, Point]) -> float:
    joined = [each for each in graph if each in graph[node] or node in graph[each]]
    return sum(places[each][0] for each in joined) / max(1, len(joined))


def places_of(rows: list[list[str]]) -> dict[str, Point]:
    """Return the centre of each box and waypoint; the lowest row is at the bottom."""
    widest = max(map(width_of, rows))
    places = {}
    for level, row in enumerate(rows):
        x = MARGIN + (widest - width_of(row)) / 2
        for node in row:
            y = MARGIN + BOX[1] / 2 + ROW * (len(rows) - 1 - level)
            places[node] = (x + width(node) / 2, y)
            x += width(node) + GAP
    return places


def width(node: str) -> float:
    return GAP if ">" in node else BOX[0]


def width_of(row: list[str]) -> float:
    return sum(map(width, row)) + GAP * (len(row) - 1)


def draw() -> str:
    """Return the picture as SVG."""
    imports = read_graph()
    graph = split_long_arrows(reduce_graph(imports))
    rows = arrange(graph)
    places = places_of(rows)
    size = (2 * MARGIN + max(map(width_of, rows)), 2 * MARGIN + BOX[1] + ROW * len(rows))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}">',
        STYLE,
        f"<defs>{TIP}</defs>",
        '<rect width="100%" height="100%" style="stroke: none"/>',
    ]
    for node in sorted(graph):
        lines += [arrow(node, each, places) for each in sorted(graph[node])]
    components = [node for node in sorted(graph) if ">" not in node]
    lines += [
        box(component, *places[component], BOX[0], (PACKAGE / component).is_dir())
        for component in components
    ]
    base = "   ".join(sorted(base_modules(imports)))
    lines += [box(base, size[0] / 2, size[1] - MARGIN - BOX[1] / 2, size[0] - 2 * MARGIN, False)]
    return "\n".join([*lines, "</svg>", ""])


def arrow(upper: str, lower: str, places: dict[str, Point]) -> str:
    """Return the arrow between two boxes, or its piece that begins or ends at a waypoint."""
    half = BOX[1] / 2
    begin, top = places[upper][0], places[upper][1] + half
    end, bottom = places[lower][0], places[lower][1] - half
    middle = (top + bottom) / 2
    points = [(begin, top), (begin, middle), (end, middle), (end, bottom)]
    passes = ">" in lower
    if passes:
        points += [(end, bottom + 2 * half)]
    first, *others = [f"{x:g} {y:g}" for x, y in points]
    curve = f"M{first}C{' '.join(others[:3])}" + (f"L{others[3]}" if passes else "")
    return f'<path d="{curve}"/>' if passes else f'<path class="tip" d="{curve}"/>'


def box(name: str, x: float, y: float, width: float, folder: bool) -> str:
    look = ' class="folder"' if folder else ""
    corner = f'x="{x - width / 2:g}" y="{y - BOX[1] / 2:g}"'
    label = f'<text xml:space="preserve" x="{x:g}" y="{y:g}">{name}{"/" if folder else ""}</text>'
    return f'<rect{look} {corner} width="{width:g}" height="{BOX[1]}"/>{label}'


if __name__ == "__main__":
    PICTURE.write_text(draw())
