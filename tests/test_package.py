"""The package as Airflow finds it: its entry point, what it says of itself, and what is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest

import airflow_provider_omnichat
from airflow_provider_omnichat.get_provider_info import get_provider_info
from tests.support.airflow_versions import AIRFLOW

NAME = "airflow-provider-omnichat"
ROOT = Path(airflow_provider_omnichat.__file__).parents[1]
# Of links and pictures in Markdown, and in HTML and reference definitions, which the README does not use so far.
ADDRESS = re.compile(r"""(?:\]\(|^\[[^]]+\]:\s*|(?:src|href)=["'])([^)\s"']+)""", re.MULTILINE)


def schema() -> dict[str, Any]:
    for package in ("airflow", "airflow._shared.providers_discovery"):
        try:
            found = files(package).joinpath("provider_info.schema.json")
            if found.is_file():
                return dict(json.loads(found.read_text()))
        except ModuleNotFoundError:
            continue
    pytest.skip("this Airflow ships its schema elsewhere")


def installed() -> Any:
    try:
        return distribution(NAME)
    except PackageNotFoundError:
        pytest.skip("the provider is on the path here, not installed")


def test_the_provider_info_is_valid_against_airflows_own_schema():
    jsonschema.validate(get_provider_info(), schema())


def test_the_provider_info_is_plain_data():
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()


def paths(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {path for each in value.values() for path in paths(each)}
    if isinstance(value, list):
        return {path for each in value for path in paths(each)}
    if isinstance(value, str) and value.startswith("airflow_provider_omnichat."):
        return {value}
    return set()


@pytest.mark.parametrize("path", sorted(paths(get_provider_info())))
def test_everything_that_the_provider_info_names_can_be_imported(path):
    try:
        import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        assert getattr(import_module(module), name)


def test_the_hook_is_what_the_connection_type_says():
    from airflow_provider_omnichat.hooks.omnichat import OmnichatHook

    (kind,) = get_provider_info()["connection-types"]
    assert kind["connection-type"] == OmnichatHook.conn_type
    assert kind["hook-name"] == OmnichatHook.hook_name
    assert kind["hook-class-name"] == f"{OmnichatHook.__module__}.{OmnichatHook.__qualname__}"


def test_the_entry_point_gives_the_provider_info():
    installed()
    found = [point for point in entry_points(group="apache_airflow_provider") if point.dist and point.dist.name == NAME]
    (point,) = found
    assert point.load()() == get_provider_info()


def test_airflow_discovers_the_provider_its_hook_and_its_form():
    installed()
    program = (
        "import json; from airflow.providers_manager import ProvidersManager as M; m = M();"
        "h = m.hooks['omnichat'];"
        f"print(json.dumps([m.providers['{NAME}'].version, h.hook_name, h.package_name]))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        airflow_provider_omnichat.__version__,
        "Infobip OMNI Chat",
        NAME,
    ]


def test_the_version_is_the_installed_one():
    assert installed().version == airflow_provider_omnichat.__version__


def test_types_are_shipped():
    assert files("airflow_provider_omnichat").joinpath("py.typed").is_file()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    hatchling = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed here")
    pytest.importorskip("hatch_fancy_pypi_readme", reason="hatch-fancy-pypi-readme is not installed here")
    folder = str(tmp_path_factory.mktemp("wheel"))
    (path,) = hatchling.WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"])
    return ZipFile(path)


def test_no_link_or_picture_of_the_readme_in_the_wheel_is_relative(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    _, _, text = wheel.read(name).decode().partition("\n\n")
    readme = (ROOT / "README.md").read_text()
    links, original = ADDRESS.findall(text), ADDRESS.findall(readme)
    assert len(links) == len(original) > 15
    relative = [address for address in original if not address.startswith(("https://", "http://", "#"))]
    made = [address for address in links if address not in original]
    assert len(made) == len(relative)
    repository = "airflow-provider-omnichat/airflow-provider-omnichat"
    tag = f"v{airflow_provider_omnichat.__version__}"
    for path, address in zip(relative, made, strict=True):
        assert (ROOT / path.partition("#")[0]).is_file()
        if path.endswith(".png"):
            assert address == f"https://raw.githubusercontent.com/{repository}/{tag}/{path}"
        else:
            assert address == f"https://github.com/{repository}/blob/{tag}/{path}"


def test_the_wheel_holds_the_package_alone_with_types_and_nothing_under_airflow(wheel):
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"airflow_provider_omnichat"}
    assert "airflow_provider_omnichat/py.typed" in names
    assert any(name.endswith("entry_points.txt") for name in names)


# What is imported by newer API servers alone.
FIRST_AIRFLOW = {
    "airflow_provider_omnichat.plugins.invites": (3, 1),
    "airflow_provider_omnichat.plugins.invites.state_store": (3, 3),
}


def test_every_module_can_be_imported_alone():
    package = ROOT / "airflow_provider_omnichat"
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted(package.rglob("*.py"))
        if path.name not in {"__init__.py", "__main__.py"}
    ]
    assert len(modules) > 20
    for module in modules:
        if FIRST_AIRFLOW.get(module, FIRST_AIRFLOW.get(module.rpartition(".")[0], (0,))) <= AIRFLOW:
            import_module(module)
