"""The wheel, in an environment that has nothing but the core dependencies."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import requires
from pathlib import Path

import httpx2
import pytest

from .support.redis_server import free_port

ROOT = Path(__file__).parent.parent

PROBE = """
import importlib, sys
import session_ctx_middleware, session_ctx_middleware.templating, session_ctx_middleware.testing
from session_ctx_middleware import *
from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
for name in session_ctx_middleware.__all__:
    getattr(session_ctx_middleware, name)
async def app(scope, receive, send): ...
SessionContextMiddleware(app, tenant="acme")
try:
    importlib.import_module("session_ctx_middleware.fastapi")
except ImportError as error:
    print(error)
from session_ctx_middleware.testing.__main__ import main
print("exit", main([]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_holds_the_package(wheel: Path) -> None:
    """The wheel holds the package and nothing else."""
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0].partition("-")[0] for name in names} == {"session_ctx_middleware"}
    assert "session_ctx_middleware/py.typed" in names


def test_wheel_holds_the_shop(wheel: Path) -> None:
    """The wheel holds the example shop: its code, templates, texts and style sheet, and nothing that was compiled."""
    shop = "session_ctx_middleware/cli/storefront/"
    names = {name.removeprefix(shop) for name in zipfile.ZipFile(wheel).namelist() if name.startswith(shop)}
    files = [path for path in (ROOT / "examples/storefront").rglob("*") if path.is_file()]

    assert names == {
        path.relative_to(ROOT / "examples/storefront").as_posix() for path in files if "__pycache__" not in path.parts
    }


def test_source_holds_named_files(tmp_path: Path) -> None:
    """Who unpacks the source distribution finds every page, and what they link to."""
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    targets = [
        (page.parent / target).resolve().relative_to(ROOT.resolve()).as_posix()
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))
        if not target.startswith("http")
    ]

    assert {page.name for page in ROOT.glob("*.md")} >= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert {page.relative_to(ROOT).as_posix() for page in pages} <= names
    assert [
        target for target in targets if not any(name == target or name.startswith(f"{target}/") for name in names)
    ] == []


@pytest.mark.network
@pytest.mark.slow
def test_wheel_needs_core_only(wheel: Path, tmp_path: Path) -> None:
    """The wheel works with core dependencies only."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)

    probe = subprocess.run([python, "-W", "error", "-c", PROBE], capture_output=True, text=True, check=False)

    assert probe.returncode == 0, probe.stderr
    assert "session-ctx-middleware[fastapi]" in probe.stdout
    assert "session-ctx-middleware[testing]" in probe.stderr
    assert "exit 2" in probe.stdout


@pytest.mark.network
@pytest.mark.slow
def test_the_demo_starts_without_a_clone(wheel: Path, tmp_path: Path) -> None:
    """The wheel with its extra starts the shop, which sells something."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[demo]"]
    subprocess.run(install, check=True, capture_output=True)
    port = free_port()
    command = [str(python), "-m", "session_ctx_middleware.cli", "demo", "--port", str(port)]
    demo = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("FakeEmporix: ")
    assert demo.stdout.readline().startswith(f"Storefront:  http://127.0.0.1:{port}")
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=30) as http:
        cart = http.post("/cart/items", data={"product": "kettle", "quantity": "2"})
    demo.terminate()
    output, _ = demo.communicate(timeout=60)

    assert "€98.00" in cart.text
    assert (demo.returncode, output.strip()) == (0, "Stopped.")


def test_the_core_dependencies_are_four() -> None:
    """There are four core dependencies."""
    core = [entry for entry in requires("session-ctx-middleware") or [] if "extra ==" not in entry]

    assert sorted(re.split("[<>=]", entry)[0] for entry in core) == ["cachetools", "httpx", "pyjwt", "starlette"]
