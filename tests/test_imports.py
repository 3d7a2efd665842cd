import ast
import re
import subprocess
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path

import pytest

import midframe

PACKAGE = Path(midframe.__file__).parent
TESTS = Path(__file__).parent
# Modules and packages in layers, lowest first: each imports only those of lower layers.
FLOWSEP = (
    ("layout", "config", "scales", "cuda_graphs"),
    ("steps",),
    ("blocks", "confidence", "pixel_kernels", "compilation"),
    ("network",),
    ("net2net",),
)
MEDIA = (
    ("gif_blocks", "languages", "pixel_formats"),
    ("containers",),
    ("suffixes",),
    ("pictures",),
    ("colour",),
    ("reading",),
    ("streams",),
    ("writing",),
)
VIDEO = (
    (
        "block_differences",
        "channel",
        "disk_space",
        "duplicates",
        "lock",
        "overlays",
        "playback",
        "rgb_planes",
        "segment_database",
        "static_areas",
        "timeline",
        "watchdog",
    ),
    ("ghosts", "lookup", "plan", "rendered_frame", "segments"),
    ("samples",),
    ("compilation", "report"),
    ("playback_check", "renderer"),
    ("sinks",),
    ("conversion_checks", "render_job"),
    ("pieces", "pipeline"),
    ("compare",),
)
CLUSTER = (
    ("connection", "executor", "storage"),
    ("scratch",),
    ("worker",),
    ("pool",),
    ("render",),
    ("batch",),
)
SINKS = (
    ("checks", "protocol"),
    ("segment_encoder", "verification"),
    (
        "image_results",
        "lost_colours",
    ),
    ("animation", "comparison", "image_sequence", "pipe", "video_file"),
    ("targets",),
)
FORBIDDEN = {
    "errors": {"*"},
    "defaults": {"*"},
    "devices": {"*", "-errors", "-processor"},
    "rates": {"*", "-errors"},
    "times": {"*", "-errors"},
    "media": {"*", "-errors", "-folders", "-media", "-options", "-outputs", "-process", "-rates"},
    "tensors": {"*", "-media", "-transfers"},
    "transfers": {"*"},
    "metrics": {"*", "-errors"},
    "ops": {"*", "-errors", "-ops", "-processor"},
    "models": {"*", "-defaults", "-errors", "-outputs", "-tensors", "-metrics", "-ops", "-models"},
    "options": {"*", "-defaults", "-errors", "-rates", "-times"},
    "interpolator": {
        "cluster",
        "batch",
        "video",
        "data",
        "training",
        "evaluation",
        "api",
        "cli",
        "web",
    },
    "batch": {"cluster", "data", "training", "evaluation", "api", "cli", "web"},
    "cluster": {"training", "evaluation", "api", "cli", "web", "doctor"},
    "video": {"cluster", "batch", "data", "training", "evaluation", "api", "cli", "web"},
    "data": {
        "batch",
        "cluster",
        "ops",
        "models",
        "interpolator",
        "video",
        "training",
        "evaluation",
        "api",
        "cli",
        "metrics",
        "tensors",
        "web",
    },
    "training": {"cluster", "batch", "interpolator", "video", "evaluation", "api", "cli", "web"},
    "evaluation": {"cluster", "batch", "training", "api", "cli", "web"},
    "export": {"*", "-errors", "-outputs", "-models"},
    "outputs": {"*", "-errors"},
    "extras": {"*"},
    "process": {"*"},
    "processor": {"*"},
    "api": {"cluster", "data", "training", "evaluation", "cli", "web"},
    "web": {"cluster", "data", "training", "export", "doctor", "api", "cli"},
    "pace": {"*"},
    "doctor": {"cluster", "data", "training", "evaluation", "api", "cli", "web"},
    "vapoursynth": {
        "batch",
        "cluster",
        "data",
        "training",
        "evaluation",
        "api",
        "cli",
        "doctor",
        "web",
    },
    "speeds": {"cluster", "video", "data", "training", "evaluation", "api", "cli", "doctor", "web"},
}
"""Components that each component must not import; `*` means all except those after a minus."""


def imported_components(path: Path) -> set[str]:
    """Return the components of midframe that a file imports."""
    components: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        components |= {
            name.split(".")[1] if "." in name else "midframe"
            for name in names
            if name.partition(".")[0] == "midframe"
        }
    return components


def imported_modules(path: Path) -> set[str]:
    """Return the dotted names of midframe that a file imports at run time."""
    typing = [
        node
        for block in ast.walk(ast.parse(path.read_text()))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
    ]
    hints = {node.module or "" for node in typing}
    imports: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module not in hints:
            imports |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
    return {name for name in imports if name.startswith("midframe.")}


def components() -> dict[str, list[Path]]:
    return {
        component: [*PACKAGE.glob(f"{component}.py"), *(PACKAGE / component).rglob("*.py")]
        for component in FORBIDDEN
    }


def test_imports_point_one_way() -> None:
    for component, paths in components().items():
        assert paths, component
        for path in paths:
            imports = imported_components(path)
            allowed = {name[1:] for name in FORBIDDEN[component] if name.startswith("-")}
            wrong = (
                imports - allowed if "*" in FORBIDDEN[component] else imports & FORBIDDEN[component]
            )
            assert not wrong, f"{path} imports {wrong}"


def imported_from(package: str, path: Path) -> set[str]:
    """Return the modules and packages of a package, such as "media", that a file imports."""
    prefix = f"midframe.{package}."
    return {
        name.removeprefix(prefix).split(".")[0]
        for name in imported_modules(path)
        if name.startswith(prefix)
    }


def names_in(folder: Path) -> set[str]:
    """Return the modules and packages in a folder."""
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}


def check_layers(package: str, layers: Sequence[Collection[str]]) -> None:
    """Check that the modules and packages of a package import only lower layers and themselves."""
    folder = PACKAGE.joinpath(*package.split("."))
    assert names_in(folder) == {name for layer in layers for name in layer}
    for number, layer in enumerate(layers):
        lower = {name for below in layers[:number] for name in below}
        for name in layer:
            for path in [*folder.glob(f"{name}.py"), *(folder / name).rglob("*.py")]:
                wrong = imported_from(package, path) - lower - {name}
                assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize(
    ("package", "layers"),
    [
        ("cluster", CLUSTER),
        ("models.flowsep", FLOWSEP),
        ("media", MEDIA),
        ("video", VIDEO),
        ("video.sinks", SINKS),
    ],
)
def test_modules_and_packages_import_only_lower_layers(
    package: str, layers: Sequence[Collection[str]]
) -> None:
    check_layers(package, layers)


def test_the_plan_is_imported_without_pyav_and_pytorch() -> None:
    code = "import sys, midframe.video.plan; print({'av', 'torch'} & set(sys.modules))"
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "set()"


def test_the_steps_of_flowsep_do_not_import_each_other() -> None:
    steps = PACKAGE / "models" / "flowsep" / "steps"
    folders = {path.parent.name for path in steps.glob("*/reference.py")}
    assert len(folders) == 7
    for path in steps.glob("*/*.py"):
        prefix = "midframe.models.flowsep.steps."
        steps_imported = {
            name.removeprefix(prefix).split(".")[0]
            for name in imported_modules(path)
            if name.startswith(prefix)
        }
        assert steps_imported <= {path.parent.name}, path
        if path.stem == "reference":
            assert not {
                name for name in imported_modules(path) if "halide" in name or "triton" in name
            }, path


def test_operators_are_imported_without_halide_and_triton() -> None:
    for path in (PACKAGE / "ops").glob("*/*.py"):
        if path.stem in ("__init__", "op", "reference", "transforms"):
            statements = ast.parse(path.read_text()).body
            loaded = [
                ast.unparse(node)
                for node in statements
                if isinstance(node, ast.Import | ast.ImportFrom)
            ]
            assert not [text for text in loaded if "halide" in text or "triton" in text], path


def test_implementations_are_imported_by_literal_names() -> None:
    for component in ("ops", "models"):
        for path in (PACKAGE / component).rglob("*.py"):
            assert "import_module" not in path.read_text(), path


def test_only_the_page_and_its_server_import_gradio() -> None:
    modules = [path.stem for path in PACKAGE.rglob("*.py") if "import gradio" in path.read_text()]
    assert sorted(modules) == ["page", "server"]


def test_only_components_of_extras_import_libraries_of_extras() -> None:
    libraries = {"cv2", "fastapi", "fsspec", "gradio", "lightning", "onnx", "onnxscript", "ray",
                 "s3fs", "scipy", "skimage", "starlette", "tensorboard", "uvicorn",
                 "webdataset"}  # fmt: skip
    with_extras = {"cluster", "data", "export.py", "training", "web"}
    paths = [path for each in PACKAGE.iterdir() if each.name not in with_extras
             for path in ([each] if each.suffix == ".py" else each.rglob("*.py"))]  # fmt: skip
    assert len(paths) > 100
    for path in [*paths, PACKAGE / "data" / "layouts.py", PACKAGE / "data" / "__init__.py"]:
        names = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        }
        assert not names & libraries, path
    data_modules = {name for path in (PACKAGE / "evaluation").glob("*.py")
               for name in imported_from("data", path)}  # fmt: skip
    assert data_modules == {"layouts"}


def test_only_three_modules_import_ray() -> None:
    modules = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) ray\b", path.read_text(), re.MULTILINE)
    ]
    assert sorted(modules) == [f"cluster/{name}.py" for name in ("connection", "executor", "pool")]


def test_only_the_command_line_imports_the_package_itself() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "cli" and path.name != "__init__.py":
            assert "midframe" not in imported_components(path), path


def test_every_name_in_all_exists() -> None:
    assert all(hasattr(midframe, name) for name in midframe.__all__)


def test_a_missing_vapoursynth_is_reported_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "vapoursynth", None)
    monkeypatch.delitem(sys.modules, "midframe.vapoursynth", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install \"midframe\[vapoursynth\]\""):
        import_module("midframe.vapoursynth")


def test_media_is_imported_without_pytorch() -> None:
    components = ("reading.sources", "streams.trials", "writing.writer")
    imports = ", ".join(f"midframe.media.{component}" for component in components)
    code = f"import sys, {imports}; print('torch' in sys.modules)"
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "False"


def test_the_tests_mirror_the_folders_of_the_package() -> None:
    """Exceptions: `helpers` is shared by tests, and `benchmarks` tests the folder of that name."""
    mirrored = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    folders = {path for path in mirrored if path.parts and path.parts[0] != "benchmarks"}
    assert {folder for folder in folders if not (PACKAGE / folder).is_dir()} == set()
    components = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {path.parts[0] for path in folders} == components
