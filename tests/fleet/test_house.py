"""The house rules (CONTRIBUTING.md), held over the repository itself."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering.schema_page import users

ROOT = Path(__file__).parents[2]
FOLDERS = sorted({service.folder for service in FLEET})
PRODUCT = [*FOLDERS, "PGP_COMMON", "migrations", "deploy"]
LONGEST_FUNCTION, LONGEST_FILE = 50, 400
# Text in typed functions, in the module that owns the table; the page of the schema asks the catalogue itself.
SQL_HOMES = re.compile(
    r"(^|/)(\w*_)?store\.py$|^PGP_COMMON/money_machines/|^PGP_COMMON/(engine|claims|outbox|sweep|limits|health)\.py$|^migrations/|^PGP_COMMON/rendering/schema_page\.py$|^deploy/"
)
SQL = re.compile(r"\b(SELECT\s+.+\s+FROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\b", re.DOTALL)
WORDS_OF_SERVICE = re.compile(r"pgp-[a-z0-9-]+-v1\b")


def sources(*folders: str) -> Iterator[tuple[str, Path]]:
    for folder in folders or PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "__pycache__" not in path.parts and "node_modules" not in path.parts:
                yield str(path.relative_to(ROOT)), path


def trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for name, path in sources(*folders):
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_module_opens_with_one_sentence_that_places_it() -> None:
    for name, tree in trees():
        if name.startswith("migrations/versions"):
            continue
        doc = ast.get_docstring(tree)
        if tree.body:
            assert doc, f"{name} says nothing"
            assert doc.splitlines()[0].rstrip().endswith((".", ":")), f"{name}: its first line is no sentence"


def test_no_function_and_no_file_is_longer_than_a_reader_likes() -> None:
    long = [
        f"{name}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    long += [f"{name} has {lines} lines" for name, path in sources() if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE]
    assert long == []


def test_nothing_is_called_utils_helpers_common_misc_or_manager() -> None:
    bad = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
    assert [name for name, path in sources() if path.stem in bad] == []


def test_services_never_import_each_other_nor_a_sibling() -> None:
    packages = {service.app.rpartition(".")[0] for service in FLEET}
    for name, tree in trees(*FOLDERS):
        here = next((package for package in packages if name.replace("/", ".").startswith(f"{package}.")), name.split("/")[0])
        for target in imported(tree):
            top = target.split(".")[0]
            assert top not in FOLDERS or top == name.split("/")[0], f"{name} imports {target}"
            sibling = next((package for package in packages if target.startswith(f"{package}.") and "." in package), here)
            assert "." not in here or sibling == here, f"{name} imports its sibling {target}"


def test_the_shared_package_knows_no_service() -> None:
    for name, tree in trees("PGP_COMMON"):
        assert not [target for target in imported(tree) if target.split(".")[0] in FOLDERS], name


def test_imports_run_from_app_to_steps_to_the_rest_and_never_back() -> None:
    for name, tree in trees(*FOLDERS):
        stem = Path(name).stem
        targets = {target.split(".")[-1] for target in imported(tree) if target.split(".")[0] in FOLDERS} | {
            part for target in imported(tree) if target.split(".")[0] in FOLDERS for part in target.split(".")[-2:]
        }
        if stem in {"steps", "store"}:
            assert not targets & {"app"}, f"{name} imports its app"
        if stem == "store":
            assert not targets & {"app", "steps"}, f"{name} imports upwards"


def test_sql_stands_only_where_it_belongs() -> None:
    for name, tree in trees():
        if SQL_HOMES.search(name):
            continue
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)}
        assert [text for text in texts if SQL.search(text) and text not in docs] == [], name


def test_one_module_writes_a_table() -> None:
    tables = [row.split()[2] for row in (ROOT / "migrations" / "schema.sql").read_text().splitlines() if row.startswith("CREATE TABLE ")]
    writers = {table: found[0] for table, found in users(tables).items()}
    # The engine claims and finishes what the outbox wrote and the sweep wakes: three halves of one mechanism.
    shared = {"work", "failed_transactions"}
    assert {table: names for table, names in writers.items() if len(names) > 1 and table not in shared} == {}


def test_nothing_but_the_manifest_names_services() -> None:
    """Adding a sixteenth is one entry and one folder: no other Python file lists them; a service is named only by who looks it up."""
    names = {service.name for service in FLEET}
    listing = {name: found for name, path in sources() if len(found := set(WORDS_OF_SERVICE.findall(path.read_text(encoding="utf-8"))) & names) > 3}
    assert set(listing) == {"PGP_COMMON/fleet.py"}


def test_the_environment_is_read_in_one_place() -> None:
    reading = [name for name, path in sources(*FOLDERS, "PGP_COMMON") if re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))]
    assert reading == ["PGP_COMMON/config.py"]


def test_no_float_enters_the_product() -> None:
    money = [*FOLDERS, "PGP_COMMON/money_machines"]
    floats = [
        f"{name}:{node.lineno}"
        for name, tree in trees(*money)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float"
    ]
    assert floats == []


def test_simulators_are_not_reachable_from_the_product() -> None:
    for name, tree in trees(*FOLDERS, "PGP_COMMON", "deploy/emulators", "migrations"):
        assert not [target for target in imported(tree) if target.startswith("deploy.simulators")], name


def test_no_tracked_file_names_a_registry_or_a_path_of_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    places = re.compile(r"://[a-z0-9.-]*(?:pypi|pythonhosted|npmjs|debian)\.|/(?:home|root|work|Users)/[a-z]")
    found = []
    for name in filter(None, tracked):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        if name != "tests/fleet/test_house.py" and places.search(text):
            found.append(name)
    assert found == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_the_same_few_files(folder: str) -> None:
    assert (ROOT / folder / "README.md").exists()
    assert (ROOT / folder / "__init__.py").read_text(encoding="utf-8").startswith('"""')
    for service in FLEET:
        if service.folder == folder:
            assert (ROOT / (service.app.replace(".", "/") + ".py")).exists()
