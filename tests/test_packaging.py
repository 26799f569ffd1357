"""The wheel and the source distribution; `python -m tests.wheel` tests what is installed from them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from importlib.metadata import requires
from pathlib import Path

import httpx2
import pytest

from .support.redis_server import free_port
from .wheel.pythons import present, project, supported

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


NAMED = r"^ *(?:from|import) {0}\b|\"{0}\""
MODULES = {"crawler-user-agents": "crawleruseragents", "opentelemetry-api": "opentelemetry"}
TELEMETRY = (ROOT / "session_ctx_middleware" / "telemetry.py").exists()
EXTRAS = [each for each in sorted(project()["project"]["optional-dependencies"]) if each != "otel" or TELEMETRY]
ADDRESS = "https://host.example/shop"
LINKS = re.compile(r"(!?)\[[^\]]*\]\(([^)]+)\)")


def built(out: Path, root: Path = ROOT) -> Path:
    """Build a wheel, and return it."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def metadata(wheel: Path) -> Message:
    """Return what an index is told."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def page(wheel: Path) -> str:
    """Return the long description."""
    text = metadata(wheel).get_payload(decode=True)
    assert isinstance(text, bytes)
    return text.decode()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("dist"))


def test_wheel_holds_the_package(wheel: Path) -> None:
    """The wheel holds the package, every file of it whatever its kind, and nothing else."""
    names = zipfile.ZipFile(wheel).namelist()
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "session_ctx_middleware").rglob("*.*")}
    written = {name for name in files if "__pycache__" not in name}

    assert {"session_ctx_middleware/py.typed", "session_ctx_middleware/templating/switcher.html"} <= written
    assert written <= set(names)

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


def test_index_page_without_an_address(tmp_path: Path) -> None:
    """While nobody knows where the project lives, an index shows no link or picture that leads nowhere."""
    wheel = built(tmp_path / "dist", with_address("", tmp_path))
    relative = [target for _, target in LINKS.findall(page(wheel)) if not target.startswith("https://")]

    assert relative == []
    assert "[a few microseconds](docs/performance.md)" in (ROOT / "README.md").read_text("utf-8")
    assert "for a few microseconds. Handlers" in page(wheel)
    assert metadata(wheel).get_all("Project-URL") is None


def test_index_page_with_an_address(tmp_path: Path) -> None:
    """Each link and picture of the README gets an address of the release, and the project its links."""
    wheel = built(tmp_path / "dist", with_address(ADDRESS, tmp_path))
    release = f"v{project()['project']['version']}"
    named = LINKS.findall((ROOT / "README.md").read_text("utf-8"))
    expected = [
        f"{ADDRESS}/{'raw' if picture else 'tree' if target.endswith('/') else 'blob'}/{release}/{target}"
        for picture, target in named
        if not target.startswith("https://")
    ]

    assert len(expected) > 20
    assert [target for _, target in LINKS.findall(page(wheel)) if target.startswith(ADDRESS)] == expected
    assert len(LINKS.findall(page(wheel))) == len(named)
    assert {entry.partition(", ")[0] for entry in metadata(wheel).get_all("Project-URL") or []} == {
        "Homepage",
        "Documentation",
        "Changelog",
        "Issues",
        "Security",
    }


def with_address(address: str, directory: Path) -> Path:
    """Return a small copy of this project that lives there."""
    for name in ("README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, directory)
    shutil.copytree(ROOT / "examples" / "storefront", directory / "examples" / "storefront")
    (directory / "session_ctx_middleware").mkdir()
    (directory / "session_ctx_middleware" / "__init__.py").touch()
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    filled, count = re.subn(r'^repository = ".*"$', f'repository = "{address}"', text, flags=re.MULTILINE)
    assert count == 1
    (directory / "pyproject.toml").write_text(filled, "utf-8")
    return directory


def test_checkout_is_not_taken_for_the_installed_package() -> None:
    """The check that goes along with the tests of an installed wheel fails where they would test a checkout."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/wheel/site_packages.py"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "FAILED tests/wheel/site_packages.py::test_every_module_was_installed" in done.stdout


def test_this_python_is_supported_and_found() -> None:
    """Tests of the installed wheel find the Python that they run with themselves."""
    this = f"{sys.version_info.major}.{sys.version_info.minor}"

    assert this in present()
    assert set(present()) <= set(supported())


@pytest.mark.parametrize("extra", EXTRAS)
def test_extra_is_used_and_documented(extra: str) -> None:
    """No extra is left over: the package names the module of each one's requirements, and the README the extra."""
    names = [re.split("[<>=]", entry)[0] for entry in project()["project"]["optional-dependencies"][extra]]
    shipped = [*(ROOT / "session_ctx_middleware").rglob("*.py"), *(ROOT / "examples" / "storefront").rglob("*.py")]
    code = "\n".join(path.read_text("utf-8") for path in shipped)
    listed = re.search(r"# extras: (.+)", (ROOT / "README.md").read_text("utf-8"))

    modules = [MODULES.get(name, name.replace("-", "_")) for name in names]

    assert [module for module in modules if not re.search(NAMED.format(module), code, re.MULTILINE)] == []
    assert listed
    assert extra in listed[1].split(", ")


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
    assert demo.stdout.readline().startswith(f"Debug panel: http://127.0.0.1:{port}")
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=30) as http:
        cart = http.post("/cart/items", data={"product": "kettle", "quantity": "2"})
    demo.terminate()
    output, _ = demo.communicate(timeout=60)

    assert "€98.00" in cart.text
    assert (demo.returncode, output.strip()) == (0, "Stopped.")


def test_the_page_of_versions() -> None:
    """The page names the versions that are required."""
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", (ROOT / "docs" / "versions.md").read_text("utf-8"), re.MULTILINE))
    required = {
        re.split("[<>=]", entry)[0]: re.findall(r">=([\d.]+)", entry) for entry in project()["project"]["dependencies"]
    }
    told = {name.lower(): re.findall(r"([\d.]+) and newer", row) for name, row in rows.items()}

    assert rows["Python"].split(", ") == supported()
    assert {name: told[name] for name in required} == required


def test_the_core_dependencies_are_four() -> None:
    """There are four core dependencies."""
    core = [entry for entry in requires("session-ctx-middleware") or [] if "extra ==" not in entry]

    assert sorted(re.split("[<>=]", entry)[0] for entry in core) == ["cachetools", "httpx", "pyjwt", "starlette"]
