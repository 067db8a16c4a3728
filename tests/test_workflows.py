"""Every script in the workflows, run here.

First among commands that only write down how they were called. Then the cheap ones for good, on
the small course; and the jobs that grade what students push, with servers that answer as GitHub
and GitLab.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from builders import COURSE, REPOSITORY, SOLVED, answered, content, isolates
from hub import FIRST, GitHub, GitLab, Hub
from junitparser import JUnitXml

from grader import cli, runs
from grader.model import Assignment

CLASSROOM = REPOSITORY / "docs" / "deploy" / "classroom"
WORKFLOWS = sorted([*REPOSITORY.glob(".github/workflows/*.yml"), *CLASSROOM.glob("github/*.yml")])
GITLAB = REPOSITORY / ".gitlab-ci.yml"
PIPELINES = [GITLAB, *sorted(CLASSROOM.glob("gitlab/*.yml"))]
SAMPLES = {  # what stands between ${{ and }} in what is run, and not in a matrix
    "inputs.units": "01-adding",
    "vars.PIP_EXTRA_INDEX_URL": "",
    "vars.ORGANISATION": "autumn",
    "secrets.CLASSROOM_READ": "a-token-that-reads",
    "secrets.CLASSROOM_WRITE": "a-token-that-writes",
    "github.run_id": "1234",
    "github.run_attempt": "1",
}
SECRETS = {  # of GitLab: a job is given those of its environment only
    "classroom-read": {"CLASSROOM_READ": "a-token-that-reads"},
    "classroom-write": {"CLASSROOM_WRITE": "a-token-that-writes"},
}
HIDDEN = ("-40", "_hidden", "add: negative numbers", "math.fsum", "summed_up_by_reference")


@dataclass(frozen=True)
class Script:
    """One script of a workflow, and the variables that it is given."""

    where: str
    text: str
    environment: dict[str, str]


def resolved(value: object, samples: dict[str, str]) -> str:
    """Return `value` with what GitHub puts in; what nobody has given a sample of is an error."""
    return re.sub(r"\$\{\{\s*(.+?)\s*\}\}", lambda found: samples[found[1]], str(value))


def environment(samples: dict[str, str], *parts: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a workflow, a job and a step, the last winning."""
    return {name: resolved(value, samples) for part in parts for name, value in part.items()}


def combinations(matrix: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    """Yield each combination; no matrix here has more than one dimension."""
    assert len(matrix) <= 1
    for name, values in matrix.items():
        yield from ({name: value} for value in values)
    if not matrix:
        yield {}


def github_scripts(path: Path) -> Iterator[Script]:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, job in workflow["jobs"].items():
        for chosen in combinations(job.get("strategy", {}).get("matrix", {})):
            samples = SAMPLES | {f"matrix.{key}": value for key, value in chosen.items()}
            for step in (one for one in job["steps"] if "run" in one):
                parts = [part.get("env", {}) for part in (workflow, job, step)]
                given = environment(samples, *parts)
                where = f"{path.relative_to(REPOSITORY)}: {name}"
                yield Script(where, resolved(step["run"], samples), given)


def gitlab_scripts(path: Path) -> Iterator[Script]:
    pipeline = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, job in pipeline.items():
        if not isinstance(job, dict) or "script" not in job:
            continue
        [matrix] = job.get("parallel", {}).get("matrix", [{}])
        for chosen in combinations(matrix):
            variables = pipeline.get("variables", {}) | job.get("variables", {}) | chosen
            given = {key: str(value) for key, value in variables.items()} | {"UNITS": ""}
            given |= SECRETS.get(job.get("environment", {}).get("name"), {})
            for key in ("script", "after_script"):
                text = "\n".join(job.get(key, []))
                yield Script(f"{path.relative_to(REPOSITORY)}: {name}", text, given)


SCRIPTS = [script for path in WORKFLOWS for script in github_scripts(path)]
SCRIPTS += [script for path in PIPELINES for script in gitlab_scripts(path)]


def called(script: Script, folder: Path) -> list[list[str]]:
    """Run `script` among commands that only write down how they were called."""
    log, stubs = folder / "log", folder / "stubs"
    stubs.mkdir()
    for name in ("grader", "make", "python", "sudo", "apt-get"):
        (stubs / name).write_text(
            f"#!/bin/sh\nprintf '%s\\0' {name} \"$@\" >> {log}\nprintf '\\n' >> {log}\n"
        )
        (stubs / name).chmod(0o755)
    for file in (".ci/run", "pushed/commits.txt", "classroom/feedback/page"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    shutil.copy(REPOSITORY / ".ci" / "run", folder / ".ci" / "run")
    given = script.environment | {
        "PATH": f"{stubs}:/usr/bin:/bin",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }
    run_script(script.text, folder, given)
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [line.split("\0")[:-1] for line in lines]


def run_script(text: str, folder: Path, given: dict[str, str]) -> str:
    """Run a script as GitHub does where ``shell: bash`` is asked for; return what it prints."""
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    done = subprocess.run(shell, cwd=folder, env=given, capture_output=True, text=True)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def without_installing(text: str) -> str:
    """Return a script's lines but for those that would change the machine."""
    lines = text.splitlines()
    return "\n".join(one for one in lines if not re.search(r"\bpip install|apt-get|sudo", one))


def made(arguments: list[str]) -> list[list[str]]:
    """Return the calls of the grader that make would do."""
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(".venv/bin/grader ")]
    return [["grader", *shlex.split(line)[1:]] for line in lines]


def grader_calls(script: Script, folder: Path) -> list[list[str]]:
    """Check every call of `script`, and return those of the grader, made by make or not."""
    found = []
    for name, *arguments in called(script, folder):
        if name == "grader":
            found.append([name, *arguments])
        elif name == "make":
            found += made(arguments)
        elif name == "python" and arguments[:3] == ["-m", "pip", "install"]:
            if "--constraint" in arguments:
                assert (REPOSITORY / arguments[arguments.index("--constraint") + 1]).is_file()
        elif name == "python":
            assert (REPOSITORY / arguments[0]).is_file()
        else:
            assert arguments[0] in ("apt-get", "sysctl"), (name, arguments)
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.where)
def test_commands_in_workflows_exist_with_their_options(script: Script, tmp_path: Path) -> None:
    group = typer.main.get_command(cli.app)
    for _, name, *arguments in grader_calls(script, tmp_path):
        command = group.commands[name]  # type: ignore[attr-defined]
        command.make_context(name, arguments)  # or it says what is wrong with them


def test_ci_tests_everything_and_runs_the_lessons_in_both_profiles_on_a_gpu(tmp_path: Path) -> None:
    """The scripts are found: all that follows would be true of an empty list, too."""
    jobs: dict[str, list[list[str]]] = {}
    for number, script in enumerate(SCRIPTS):
        (tmp_path / f"{number}").mkdir()
        jobs.setdefault(script.where, []).extend(called(script, tmp_path / f"{number}"))
    github = ".github/workflows"
    pairs = [(f"{github}/ci.yml: test", f"{github}/gpu.yml: lessons")]
    pairs += [(".gitlab-ci.yml: test", ".gitlab-ci.yml: gpu")]
    for test, gpu in pairs:
        assert ["make", "test"] in jobs[test]
        assert any(call[:2] == ["make", "run"] for call in jobs[test])
        assert ["make", "test-gpu"] in jobs[gpu]
        options = [call[-1] for call in jobs[gpu] if call[:2] == ["make", "run"]]
        assert all("--device cuda" in one for one in options)
        assert [re.search("--profile (.+?) ", one)[1] for one in options] == ["quick", "full"]  # type: ignore[index]


# ---- the lessons -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["ci.yml", "gpu.yml"])
def test_what_is_uploaded_is_what_was_made(file: str, tmp_path: Path) -> None:
    path = REPOSITORY / ".github" / "workflows" / file
    scripts = [one for one in github_scripts(path) if "make run" in one.text]
    shutil.copytree(COURSE, tmp_path / "solutions")
    (tmp_path / "gpus").mkdir()
    (tmp_path / "gpus" / "one").touch()
    (tmp_path / "calls").mkdir()
    [call] = grader_calls(scripts[-1], tmp_path / "calls")
    given = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    given |= scripts[-1].environment | {"PYTHONPATH": str(REPOSITORY)}
    given |= {"GRADER_PRETEND_GPUS": str(tmp_path / "gpus")}
    subprocess.run(
        [sys.executable, "-m", "grader.cli", *call[1:]], cwd=tmp_path, env=given, check=True
    )
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n")
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_one.py"]
    subprocess.run(tests, cwd=tmp_path, env=given, check=True, stdout=subprocess.DEVNULL)

    job = next(iter(yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()))
    steps = {step["uses"].split("@")[0]: step["with"] for step in job["steps"] if "uses" in step}
    for pattern in steps["actions/upload-artifact"]["path"].split():
        assert list(tmp_path.glob(pattern)), pattern
    assert JUnitXml.fromfile(str(tmp_path / "build" / "lessons.xml")).failures == 0
    assert (tmp_path / "build" / "lessons" / "01-adding" / "adding.ipynb").is_file()

    # The next run finds what this one has kept, and nothing else is kept.
    restored, saved = steps["actions/cache/restore"], steps["actions/cache/save"]
    samples = SAMPLES | {"matrix.profile": "full"}
    assert resolved(saved["key"], samples).startswith(resolved(restored["restore-keys"], samples))
    assert resolved(saved["key"], samples) != resolved(restored["key"], samples)
    assert restored["path"] == saved["path"] == str(runs.CACHE)
    assert any((tmp_path / runs.CACHE).iterdir())


def test_gitlab_uploads_the_same() -> None:
    pipeline = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    for name in ("test", "gpu"):
        assert pipeline[name]["extends"] == ".lessons"
    lessons = pipeline[".lessons"]
    assert lessons["artifacts"]["paths"] == ["build/lessons"]
    assert lessons["artifacts"]["reports"]["junit"] == "build/*.xml"
    assert [str(runs.CACHE)] in [one["paths"] for one in lessons["cache"]]


# ---- a classroom -----------------------------------------------------------------------------


def real(folder: Path) -> dict[str, str]:
    """The environment of a runner that has the grader, and nothing of who runs the tests."""
    (folder / "bin").mkdir(exist_ok=True)
    for name, module in (("grader", "-m grader.cli"), ("python", "")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    (folder / "home").mkdir(exist_ok=True)
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(folder / "home"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }


def test_a_student_s_push_is_checked(adding: Assignment, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    node = answered(adding.notebooks[0].released, add="def add(a, b):\n    return [5]")
    (work / "adding.ipynb").write_bytes(content(node))
    given = real(tmp_path) | {"NOTEBOOK": "adding.ipynb"}
    github = CLASSROOM / "github" / "check.yml"
    [script] = [one for one in github_scripts(github) if "grader" in one.text]
    run_script(script.text, work, script.environment | given)
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("```\n")
    script, _ = gitlab_scripts(CLASSROOM / "gitlab" / "check.yml")
    shown = run_script(without_installing(script.text), work, script.environment | given)
    for text in (summary, shown):
        assert "0 of 2 passed" in text
        assert "add(2, 3) is not 5" in text


def test_a_workflow_of_students_has_no_secret_and_no_job_has_a_token_and_their_code() -> None:
    assert "secrets." not in (CLASSROOM / "github" / "check.yml").read_text(encoding="utf-8")
    text = (CLASSROOM / "github" / "grade.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert yaml.safe_load(text)["permissions"] == {}
    for name, job in jobs.items():
        whole = yaml.safe_dump(job)
        runs_their_code = "grader grade" in whole
        assert runs_their_code == (name == "grade")
        assert ("secrets." in whole) == (name != "grade")
        assert job["permissions"] == {"contents": "read"}
        assert "github.token" not in whole
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_the_same_on_gitlab_where_variables_are_given_by_environment() -> None:
    check = (CLASSROOM / "gitlab" / "check.yml").read_text(encoding="utf-8")
    assert "environment" not in check
    assert "CLASSROOM" not in check
    pipeline = yaml.safe_load((CLASSROOM / "gitlab" / "grade.yml").read_text(encoding="utf-8"))
    for name in pipeline["stages"]:
        job = pipeline[name]
        script = "\n".join(job["script"])
        assert ("grader grade" in script) == (name == "grade") == ("environment" not in job)
        assert set(re.findall(r"CLASSROOM_\w+", script)) == set(
            SECRETS.get(job.get("environment", {}).get("name"), {})
        )


def test_the_students_template_is_made_as_it_says_and_holds_no_hidden_test(tmp_path: Path) -> None:
    page = (CLASSROOM / "README.md").read_text(encoding="utf-8")
    text, for_gitlab = re.findall(r"```sh\n(.*?)```", page, re.S)
    for name in ("constraints.txt", "notebooks", "docs"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    calls = called(Script("README.md", f"{text}\n{for_gitlab}", {}), tmp_path)
    assert calls == [["python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "template", "."]]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["data", "grader"]  # of the wheel, and neither solutions/ nor notebooks/
    template = tmp_path / "template"
    for name in (
        "convolution.ipynb",
        "constraints.txt",
        ".github/workflows/check.yml",
        ".gitlab-ci.yml",
    ):
        assert (template / name).is_file()
    for path in template.rglob("*"):
        assert path.is_dir() or b"HIDDEN TESTS" not in path.read_bytes(), path


@pytest.fixture(params=[GitHub, GitLab])
def hub(adding: Assignment, request: pytest.FixtureRequest) -> Iterator[Hub]:
    """A server, and a class on it."""
    told = "Both are the same heap."
    solved = content(answered(adding.notebooks[0].released, add=SOLVED, why_commutes=told))
    wrong = "def add(a, b):\n    return a - b"
    with request.param(
        {
            "ada": solved,
            "bob": content(answered(adding.notebooks[0].released, add=wrong)),
            "eve": solved,
            "max": b"<html>",
            "new": None,
            "zoe": b"",
        },
        statuses={
            "eve": [{"context": "grade/01-adding", "state": "success"}],
            "ada": [{"context": "check", "state": "failed"}],
        },
    ) as known:
        yield known


def run_job(name: str, folder: Path, hub: Hub) -> Path:
    """Run a job of grade.yml but for what installs; artefacts go through folders."""
    work = folder / name
    work.mkdir()
    shutil.copytree(COURSE, work / "solutions")
    (work / "docs").symlink_to(REPOSITORY / "docs")
    given = real(folder) | {"UNIT": "01-adding", "NOTEBOOK": "adding.ipynb"}
    given[hub.variable] = hub.address
    run = _on_github if isinstance(hub, GitHub) else _on_gitlab
    run(name, work, folder / "artefacts", given)
    return work


def _on_github(name: str, work: Path, artefacts: Path, given: dict[str, str]) -> None:
    workflow = yaml.safe_load((CLASSROOM / "github" / "grade.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"][name]
    for step in job["steps"]:
        action, inputs = step.get("uses", "").split("@")[0], step.get("with", {})
        if action == "actions/upload-artifact":
            shutil.copytree(work / inputs["path"], artefacts / inputs["name"])
        elif action == "actions/download-artifact":
            shutil.copytree(artefacts / inputs["name"], work / inputs["path"])
        elif "run" in step:
            parts = [part.get("env", {}) for part in (workflow, job, step)]
            text = without_installing(step["run"])
            run_script(text, work, environment(SAMPLES, *parts) | given)


def _on_gitlab(name: str, work: Path, artefacts: Path, given: dict[str, str]) -> None:
    # A job is given the artefacts of all stages before its own.
    artefacts.mkdir(exist_ok=True)
    shutil.copytree(artefacts, work, dirs_exist_ok=True)
    pipeline = CLASSROOM / "gitlab" / "grade.yml"
    job = yaml.safe_load(pipeline.read_text(encoding="utf-8"))[name]
    script = next(one for one in gitlab_scripts(pipeline) if one.where.endswith(f": {name}"))
    group = {"ORGANISATION": "courses/autumn"}
    without = {key: value for key, value in given.items() if not key.startswith("GITHUB_")}
    run_script(without_installing(script.text), work, script.environment | group | without)
    for path in job.get("artifacts", {}).get("paths", []):
        shutil.copytree(work / path, artefacts / path, dirs_exist_ok=True)


@isolates
def test_what_students_push_is_graded_and_they_are_told(hub: Hub, tmp_path: Path) -> None:
    work = run_job("fetch", tmp_path, hub)
    assert {(method, token) for method, _, token, _ in hub.asked} == {
        ("GET", "Bearer a-token-that-reads")
    }
    assert {path.parent.name for path in work.glob("pushed/submissions/*/*")} == {
        *("ada", "bob", "max")
    }
    times = (work / "pushed" / "times.csv").read_text()
    assert f"ada,{FIRST}\n" in times
    hub.asked.clear()

    run_job("grade", tmp_path, hub)
    assert not hub.asked
    graded = tmp_path / "artefacts" / "graded"
    assert {path.name for path in graded.iterdir()} == {"feedback", "grades.json"}

    run_job("deliver", tmp_path, hub)
    assert {token for _, _, token, _ in hub.asked} == {"Bearer a-token-that-writes"}
    unreadable = "failure" if isinstance(hub, GitHub) else "failed"
    blob = "" if isinstance(hub, GitHub) else "/-/blob/grades/01-adding.html"
    said = {
        student: (some[-1]["state"], some[-1]["description"], some[-1]["target_url"])
        for student, some in hub.statuses.items()
        if student != "eve"
    }
    assert said == {
        "ada": (
            "success",
            "3 of 5 points, and a person will read the rest",
            f"https://pages.example/ada{blob}",
        ),
        "bob": ("success", "0 of 5 points", f"https://pages.example/bob{blob}"),
        "max": (unreadable, "adding.ipynb could not be read", f"https://pages.example/max{blob}"),
    }
    assert b"subtract" not in hub.pages["ada"]
    assert b"which sign stands between the two numbers?" in hub.pages["bob"]
    for sent in [*hub.pages.values(), *(json.dumps(body).encode() for *_, body in hub.asked)]:
        for secret in HIDDEN:
            assert secret.encode() not in sent

    # What has a score is left alone; what is pushed after that has a new one, on the same page.
    shutil.rmtree(tmp_path / "artefacts" / "pushed")
    for job in ("fetch", "deliver"):
        shutil.rmtree(tmp_path / job)
    hub.files["ada"] = (hub.files["ada"] or b"") + b"\n"
    work = run_job("fetch", tmp_path, hub)
    assert [path.parent.name for path in work.glob("pushed/submissions/*/*")] == ["ada"]
    run_job("deliver", tmp_path, hub)
    assert len(hub.statuses["ada"]) == 3
    if isinstance(hub, GitHub):  # whose later jobs are left out where there is nothing to grade
        assert (tmp_path / "output").read_text() == "count=3\ncount=1\n"

    # Delivered twice, as where two runs overlap: the same page, and no complaint.
    shutil.rmtree(tmp_path / "deliver")
    run_job("deliver", tmp_path, hub)


@isolates
def test_nothing_to_grade_is_no_failure_on_gitlab(adding: Assignment, tmp_path: Path) -> None:
    """On GitHub the jobs are not run at all."""
    with GitLab({"new": None}) as hub:
        for job in ("fetch", "grade", "deliver"):
            run_job(job, tmp_path, hub)
            shutil.rmtree(tmp_path / job)
        assert {method for method, *_ in hub.asked} == {"GET"}
