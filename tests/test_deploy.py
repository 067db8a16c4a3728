"""What docs/deploy tells people to write is understood by what they run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from builders import REPOSITORY
from distributed.cli import dask_scheduler

from grader import cli
from grader.model import Limits
from grader.slurm import Jobs

DEPLOY = REPOSITORY / "docs" / "deploy"


def test_the_file_for_slurm_is_one() -> None:
    jobs = Jobs.read(DEPLOY / "slurm.toml")
    assert jobs.slots(Limits()) == 16
    assert jobs.lifetime(Limits()) > 3600


def test_the_commands_in_the_pods_are_understood(tmp_path: Path) -> None:
    made = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert (made["apiVersion"], made["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    name, service = made["metadata"]["name"], made["spec"]["scheduler"]["service"]
    assert service["selector"]["dask.org/cluster-name"] == name
    [serves] = made["spec"]["scheduler"]["spec"]["containers"]
    [grades] = made["spec"]["worker"]["spec"]["containers"]
    assert serves["image"] == grades["image"]
    for one in (serves, grades):
        [mount] = one["volumeMounts"]
        assert {arg for arg in one["args"] if "/" in arg and "://" not in arg} == {
            f"{mount['mountPath']}/{file}.pem" for file in ("ca", "cert", "key")
        }
    group = typer.main.get_command(cli.app)
    worker = group.commands["worker"]  # type: ignore[attr-defined]
    assert grades["args"][:2] == ["grader", "worker"]
    context = worker.make_context("worker", grades["args"][2:])
    assert context.args == []  # nothing that would be passed on unread
    assert context.params["scheduler"] == f"tls://{name}-scheduler:8786"
    assert context.params["slots"] == int(grades["resources"]["limits"]["cpu"])
    assert serves["args"][:2] == ["dask", "scheduler"]
    for file in ("ca", "cert", "key"):  # dask's own command looks whether they are there
        (tmp_path / f"{file}.pem").touch()
    words = [word.replace("/keys", f"{tmp_path}") for word in serves["args"][2:]]
    dask_scheduler.main.make_context("scheduler", words)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_the_keys_are_made_as_it_says(tmp_path: Path) -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    found = re.search(r"## Keys.*?```sh\n(.*?)```", text, re.S)
    assert found is not None
    subprocess.run(["sh", "-ec", found[1]], cwd=tmp_path, check=True, capture_output=True)
    verify = ["openssl", "verify", "-CAfile", "keys/ca.pem", "keys/cert.pem"]
    subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True)
    assert not (tmp_path / "keys" / "request.pem").exists()
