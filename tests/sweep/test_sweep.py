"""Sweeps: settings, failures, resumption after a kill, a real Dask scheduler with two workers."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from bmi_runtime import cluster, sweep
from bmi_runtime.errors import BadInput

RUN = "run --headless --speed max --duration 0.5 --record none --set session.units=8"


def bmi(*arguments, **kwargs):
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "sweep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **kwargs)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_grid_is_the_product_and_keys_become_options():
    points = sweep.settings(["a.b=1,2", "--seed=range(1,4)"], [], 1, 1)
    assert len(points) == 6
    assert sweep.command_line(["run"], points[0]) == ["run", "--set", "a.b=1", "--seed", "1", "--json"]
    assert sweep.grid_values("x.y=logspace(1e-7,1e-5,3)")[1] == ["1e-07", "1e-06", "1e-05"]


def test_random_draws_follow_the_seed_and_the_bounds():
    first = sweep.settings(["a.b=1,2"], ["c.d=loguniform(1e-7,1e-3)", "e.f=x,y"], 50, 3)
    assert first == sweep.settings(["a.b=1,2"], ["c.d=loguniform(1e-7,1e-3)", "e.f=x,y"], 50, 3)
    assert first != sweep.settings(["a.b=1,2"], ["c.d=loguniform(1e-7,1e-3)", "e.f=x,y"], 50, 4)
    assert len(first) == 100
    assert all(1e-7 <= float(point["c.d"]) <= 1e-3 for point in first)
    assert {point["e.f"] for point in first} == {"x", "y"}


@pytest.mark.parametrize(
    "text",
    ["", "key", "key=", "=3", "key=logspace(1,2)", "key=cubes(1,2,3)", "key=logspace(a,b,3)", "key=range(0,1e9)",
     "key=linspace(0,1,1e12)"],
)  # fmt: skip
def test_a_bad_grid_is_refused_in_words(text):
    with pytest.raises(BadInput, match="--grid"):
        sweep.grid_values(text)


def test_more_tasks_than_a_sweep_is_for():
    with pytest.raises(BadInput, match="1,100,000 tasks are more than"):
        sweep.settings(["a.b=range(0,1000)", "c.d=range(0,100)"], ["e.f=uniform(0,1)"], 11, 1)
    with pytest.raises(BadInput, match="tasks are more than"):
        sweep.settings(["a.b=range(0,10001)", "c.d=range(0,101)"], [], 1, 1)


def test_a_table_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="the journal of the sweep cannot be written"):
        sweep.Journal(tmp_path / "file" / "t.jsonl")


def test_a_failing_task_does_not_lose_the_others(tmp_path):
    out = str(tmp_path / "t.csv")
    done = bmi(RUN, "--grid", "session.seed=1,2", "--grid", "task.kind=centre-out,chess", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"tasks": 4, "failed": 2, "table": out}
    rows = rows_of(out)
    assert [bool(row["error"]) for row in rows] == [False, True, False, True]
    assert "no task 'chess'" in rows[1]["error"]
    assert rows[0]["output_digest"] != rows[2]["output_digest"]
    assert rows[0]["bins"] == "100"
    assert json.loads((tmp_path / "t.provenance.json").read_text())["command"] == RUN


def test_a_process_that_dies_fails_its_own_task_only(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(  # a task that kills its process, as a crash in a library would
        "import os, bmi_runtime.cli.run_task as s\n"
        "kept = s.run_task\n"
        "def run_task(arguments):\n"
        "    os.kill(os.getpid(), 9) if 'session.seed=2' in arguments else None\n"
        "    return kept(arguments)\n"
        "run_task.__module__, run_task.__qualname__ = kept.__module__, kept.__qualname__\n"
        "s.run_task = run_task\n"
    )
    out = str(tmp_path / "t.csv")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = bmi(RUN, "--grid", "session.seed=1,2,3,4", "--out", out, "--json", env=environment)
    assert json.loads(done.stdout)["failed"] == 1, done.stderr
    assert [row["error"] for row in rows_of(out)] == ["", "the process that ran it died", "", ""]


def test_a_killed_sweep_goes_on_and_does_nothing_twice(tmp_path):
    out = str(tmp_path / "t.csv")
    arguments = [RUN, "--grid", "session.seed=range(1,13)", "--jobs", "1", "--out", out, "--json"]
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "sweep", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    journal = tmp_path / "t.jsonl"
    for _ in range(600):
        if journal.exists() and journal.read_text().count("\n") >= 3:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = journal.read_text().splitlines()
    assert 3 <= len(before) < 12
    journal.write_text("\n".join(before) + '\n{"key": "half a li')  # a kill in the middle of a line
    done = bmi(*arguments)
    assert json.loads(done.stdout) == {"tasks": 12, "failed": 0, "table": out}
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines() if line.endswith("}")]
    assert len(keys) == len(set(keys)) == 12
    assert keys[: len(before)] == [json.loads(line)["key"] for line in before]


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="processes are counted in /proc")
def test_a_killed_sweep_leaves_no_process_behind(tmp_path):
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "sweep", RUN.replace("0.5", "40"), "--grid",
               "session.seed=range(1,9)", "--jobs", "1", "--out", str(tmp_path / "t.csv")]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    for _ in range(600):
        if len(_group(process.pid)) >= 3:  # the sweep, its resource tracker, a worker
            break
        time.sleep(0.1)
    time.sleep(1.0)
    process.kill()
    process.wait()
    for _ in range(200):
        if not _group(process.pid):
            break
        time.sleep(0.1)
    left = _group(process.pid)
    for number in left:
        os.kill(number, signal.SIGKILL)
    assert left == []


def _group(leader):
    """Return the living processes of a group."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == leader and words[0] != "Z":
            found.append(int(folder.name))
    return found


def test_a_real_scheduler_with_two_workers(tmp_path, cluster):
    out, here = str(tmp_path / "t.csv"), str(tmp_path / "local.csv")
    grid = ("--grid", "session.seed=range(1,7)")
    done = bmi(RUN, *grid, "--cluster", cluster.address, "--out", out, "--json", timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"tasks": 6, "failed": 0, "table": out}
    bmi(RUN, *grid, "--out", here)
    assert [row["output_digest"] for row in rows_of(out)] == [row["output_digest"] for row in rows_of(here)]


def test_a_killed_scheduler_loses_nothing_and_nothing_is_done_twice(tmp_path, cluster):
    out, journal = str(tmp_path / "t.csv"), tmp_path / "t.jsonl"
    arguments = [RUN, "--grid", "session.seed=range(1,31)", "--cluster", cluster.address, "--out", out, "--json"]
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "sweep", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if journal.exists() and journal.read_text().count("\n") >= 4:
            break
        time.sleep(0.05)
    cluster.stop()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "was lost" in said and "run the same line again" in said
    assert "Traceback" not in said
    before = journal.read_text().splitlines()
    assert 4 <= len(before) < 30
    cluster.start()
    done = bmi(*arguments, timeout=120)
    assert json.loads(done.stdout) == {"tasks": 30, "failed": 0, "table": out}, done.stderr
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 30
    assert keys[: len(before)] == [json.loads(line)["key"] for line in before]


SLURM = """
jobqueue:
  slurm:
    jobs: 2
    queue: short
    account: motor
    cores: 1
    memory: 2GB
    walltime: "00:30:00"
    job_extra_directives: ["--exclusive"]
    log_directory: null
"""


def test_a_slurm_file_becomes_job_scripts_that_work(tmp_path):
    """SLURM's own programs are played by two scripts: one runs a job's script, the other ends it."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install dask-jobqueue)")
    (tmp_path / "sbatch").write_text(
        f"#!/bin/sh\ncp $1 {tmp_path}/job.$$.sh\nsetsid sh {tmp_path}/job.$$.sh > /dev/null 2>&1 &\n"
        f"echo $! > {tmp_path}/$$.pid\necho Submitted batch job $$\n"
    )
    (tmp_path / "scancel").write_text(f"#!/bin/sh\nfor job; do kill -- -$(cat {tmp_path}/$job.pid); done\n")
    for name in ("sbatch", "scancel"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "rig.yaml").write_text(SLURM)
    out = str(tmp_path / "t.csv")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    arguments = (RUN, "--grid", "session.seed=range(1,5)", "--cluster", str(tmp_path / "rig.yaml"), "--out", out)
    done = bmi(*arguments, "--json", timeout=180, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"tasks": 4, "failed": 0, "table": out}
    scripts = [path.read_text() for path in tmp_path.glob("job.*.sh")]
    assert len(scripts) == 2
    for line in ("-p short", "-A motor", "--mem=2G", "-t 00:30:00", "-n 1", "--exclusive"):
        assert f"#SBATCH {line}" in scripts[0]
    assert f"{sys.executable} -m distributed.cli.dask_worker" in scripts[0]
    for _ in range(100):
        groups = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
        if not any(_alive(group) for group in groups):
            break
        time.sleep(0.1)
    assert not any(_alive(group) for group in groups)


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobqueue: 3", "is not a dask-jobqueue file"),
        ("jobqueue: {slurm: {}, pbs: {}}", "is not a dask-jobqueue file"),
        ("jobqueue: {slrm: {cores: 1}}", "unknown job queue 'slrm'; choose from slurm"),
        ("[", "is not a dask-jobqueue file"),
    ],
)
def test_a_job_queue_file_that_is_none_gets_one_sentence(tmp_path, text, words):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install dask-jobqueue)")
    (tmp_path / "rig.yaml").write_text(text)
    with pytest.raises(BadInput, match=words) as caught:
        cluster.queue_cluster(str(tmp_path / "rig.yaml"))
    assert "\n" not in str(caught.value)


def test_a_job_queue_without_a_setting_it_needs(tmp_path):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install dask-jobqueue)")
    (tmp_path / "rig.yaml").write_text("jobqueue: {slurm: {memory: 2GB}}")
    rig = str(tmp_path / "rig.yaml")
    done = bmi(RUN, "--grid", "session.seed=1", "--cluster", rig, "--out", str(tmp_path / "t.csv"), timeout=60)
    assert done.returncode == 2
    assert "the job queue 'slurm' cannot be used: You must specify" in done.stderr
    assert "Traceback" not in done.stderr


def test_those_that_failed_are_run_again_when_asked(tmp_path, answered):
    out = str(tmp_path / "t.csv")
    arguments = ("sweep", RUN, "--grid", "task.kind=centre-out,chess", "--out", out)
    for _ in range(2):  # a failure is a result as well
        assert answered(*arguments)["failed"] == 1
    journal = tmp_path / "t.jsonl"
    assert len(journal.read_text().splitlines()) == 2
    assert answered(*arguments, "--retry-failed")["failed"] == 1
    assert len(journal.read_text().splitlines()) == 3


def test_no_scheduler_is_said_in_one_line(tmp_path, monkeypatch, bmi):
    pytest.importorskip("distributed", reason="Dask is not installed (pip install bmi-runtime[sweep])")
    monkeypatch.setattr("bmi_runtime.cluster.CONNECT_S", 1.0)
    out = str(tmp_path / "t.csv")
    done = bmi("sweep", RUN, "--grid", "session.seed=1", "--cluster", "tcp://127.0.0.1:1", "--out", out)
    assert done.returncode == 2
    assert "no Dask scheduler answers" in done.stderr
    assert "Traceback" not in done.stderr
