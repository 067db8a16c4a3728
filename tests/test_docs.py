"""What the documents say is so: commands exist, versions agree, tables are true."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement

from grader import cli, course

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
DOCS += sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/deploy/**/*.md")])
CONDA_NAMES = {
    "matplotlib-base": "matplotlib",
    "nbconvert-core": "nbconvert",
    "pytorch": "torch",
    "jupyter_client": "jupyter-client",
    "jupyter_core": "jupyter-core",
    "jupyter_server": "jupyter-server",
}


def commands(program: str) -> list[tuple[str, str]]:
    """(document, command line) for each `program ...` in code, fenced or inline."""
    found = []
    for path in DOCS:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"```(?:\w+)?\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        found += [
            (path.name, line.split("#")[0].strip())
            for line in lines
            if line.strip().startswith(f"{program} ")
        ]
    return found


@pytest.mark.parametrize(("document", "line"), commands("make"))
def test_a_make_target_that_is_named_exists(document: str, line: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{document}: {line}: {done.stderr}"


@pytest.mark.parametrize(("document", "line"), commands("grader"))
def test_a_grader_command_that_is_named_exists_with_its_options(document: str, line: str) -> None:
    group = typer.main.get_command(cli.app)
    name, *arguments = line.split(">")[0].split()[1:]
    command = group
    if name.startswith("-"):
        arguments.append(name)
    else:
        command = group.commands[name]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {a for a in arguments if a.startswith("--")} <= known, f"{document}: {line}"


def test_every_command_is_documented() -> None:
    named = {line.split()[1] for document, line in commands("grader") if document != "commands.md"}
    group = typer.main.get_command(cli.app)
    assert set(group.commands) <= named  # type: ignore[attr-defined]


def test_links_between_documents_lead_somewhere() -> None:
    for path in [*DOCS, ROOT / "data" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if "://" not in target and "figures/" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_units_table_is_that_of_the_lessons() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lessons = course.load_course(ROOT / "solutions").lessons
    for lesson in lessons:
        row = next(line for line in readme.splitlines() if line.startswith(f"| [{lesson.unit}]"))
        exercises = len(course.exports(lesson))
        assert row.endswith(f"| {exercises} | {lesson.minutes} | {lesson.points:g} |")
    exercises = sum(len(course.exports(lesson)) for lesson in lessons)
    hours = sum(lesson.minutes for lesson in lessons) // 60
    assert f"{len(lessons)} lessons, {exercises} exercises, {hours} hours" in readme.replace(
        "\n", " "
    )


def test_conda_environment_and_constraints_agree_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {r.name: r for r in map(Requirement, project["dependencies"])}
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    found = {}
    for line in [entry for entry in conda if isinstance(entry, str)]:
        name, _, versions = line.partition(" ")
        found[CONDA_NAMES.get(name, name)] = versions.replace(" ", "")
    assert found.pop("python") == project["requires-python"]
    found.pop("pip")
    assert set(found) == set(wanted)
    for name, versions in found.items():
        assert Requirement(f"{name}{versions}").specifier == wanted[name].specifier, name
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    exact = {r.name.lower().replace("_", "-"): str(r.specifier).removeprefix("==") for r in pinned}
    for name, requirement in wanted.items():
        assert exact[name] in requirement.specifier, name
