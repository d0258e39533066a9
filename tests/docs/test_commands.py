"""Every `bmi` command of every page is typed here, on small files; the outputs that pages show are what comes out.

What a page calls REC, PILOT or session.npz is a file made here. A session is cut to two seconds of simulated time. What
cannot run in a test (a rig, a display, somebody's data) is named with the reason; everything else runs, the pages of
`QUICK` always and the rest with the slow tests.
"""

import contextlib
import io
import itertools
import pathlib
import re
import runpy
import shlex
import shutil

import numpy as np
import pytest

OTHERS = runpy.run_path(str(pathlib.Path(__file__).with_name("test_pages.py")))
PAGES, ROOT, commands = (OTHERS[name] for name in ("PAGES", "ROOT", "commands"))

QUICK = ("recording.md", "calibration.md")
NOT_RUN = {  # pattern of commands: why
    r"^bmi [a-z-]+( [a-z]+)?$": "a name, not a command to type",
    r"^bmi (run|replay|decode|compare|glm|export|gui|networks|perturb|fokker-planck|figures|sweep|calibrate|stability|"
    r"doctor) --[a-z-]+( nwb)?$": "an option that is named",
    r" \.\.\.|\.\.\.|\||KEY=|NAME|--label-error P| HOST|//HOST|FOLDER|\[--": "a pattern of commands",
    r"^bmi gui(?! --screenshot)|--gui": "opens a window; tests/gui does",
    r"--steer|--resume|--with-simulator|--source-command|--cluster|dask": "processes; tests/faults, tests/sweep",
    r"--source (open-ephys|zeromq|sine)|--as |^bmi doctor|bmi simulate": "a rig; tests/sources have stand-ins",
    r"output_lsl|key_folder|^bmi guard": "sockets; tests/faults/test_keys.py, tests/session/test_guard.py",
    r"wu_midterm|stevenson|winny|M1\.mat|m1\.npz|monday\.n|tracking\.npz": "data of others; tests/real reads them",
    r"pause_correct|mine\.mat|\.gdf": "data of others; tests/sources reads some of the kind",
    r"session\.lab|mean-direction|decoders mine|straight|task\.kind=line": "a part of somebody else's; tests/session",
    r"population-vector|own\.mcap": "the decoder that the page has its reader write; tests/docs/test_pages.py",
    r"rig\.toml|session\.toml$|best\.toml$|check\.mcap|\.onnx": "files that the page has its reader make",
    r"\$WORLD|judge|spikes|stim\.npz|pilot\.npz|plan (fit|FIT|--pilot)": "minutes; tests/perturbation go the same way",
    r"figures|study|--seeds 8|--closed-loop|branches|--world": "minutes; the benchmarks and tests of the module",
    r"compare --days": "simulated weeks; benchmarks/days.py",
    r"fokker-planck (hopf|fit)": "minutes; tests/fokker_planck",
    r"^bmi (sync|rehearse)|instrument": "needs a recording of its own kind, or minutes; the tests of the command",
    r"--teach-delay$|--subject FILE|--recording FILE": "an option that is named",
    r"--rank|select|--labels inferred --label-error P": "named in the changelog",
    r"--from SESSION\.mcap$": "a wish is still to be added",
    r"docs/figures": "writes into the repository",
    r"duration 600|duration 300 --seed 1 --json": "ten minutes of session; benchmarks/closed_loop.py",
}  # fmt: skip


def said(command):
    """Return why a command is not run, or nothing."""
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, command)), "")


def typed():
    """Yield (page, command) of everything that is to be typed, each command once."""
    done = set()
    for page in PAGES:
        if page.name == "changelog.md":
            continue
        for line in commands(page):
            command = " ".join(line.partition("  #")[0].split())
            if command not in done and not said(command):
                done.add(command)
                quick = page.name in QUICK and "readout" not in command  # a network would have to be trained
                marks = () if quick else (pytest.mark.slow, pytest.mark.timeout(1800))
                yield pytest.param(command, id=f"{page.stem}: {command}"[:110], marks=marks)


STANDS_FOR = {
    "REC": "session.mcap", "REC.mcap": "session.mcap", "REF.mcap": "session.mcap", "TODAY.mcap": "later.mcap",
    "PILOT": "session.mcap", "PILOT.mcap": "session.mcap", "DATA": "session.npz", "DATA.npz": "session.npz",
    "FILE": "session.mcap", "DESIGN.npz": "design.npz", "train.npz": "session.npz", "test.npz": "session.npz",
    "first.mcap": "session.mcap", "calibration.mcap": "session.mcap", "live.mcap": "session.mcap",
    "pilot.mcap": "session.mcap", "monday.mcap": "session.mcap", "before.mcap": "session.mcap",
    "mine.npz": "session.npz", "NET.npz": "made.npz", "FILE.npz": "trained.npz", "FIT.npz": "fit.npz",
    "YESTERDAY.mcap": "session.mcap", "recordings/YESTERDAY.mcap": "session.mcap",
    "recordings/yesterday.mcap": "session.mcap",
}  # fmt: skip
PREPARED = {  # what takes long to make, made for the first command that needs it
    "trained.npz": "train session.npz --kind joined --out trained.npz",
    "joined.npz": "train session.mcap --kind joined --for closed-loop --out joined.npz",
    "g200.npz": "glm simulate --units 12 --bins 20000 --rate-hz 8 --history-bins 50 --basis raised-cosine:5"
    " --out g200.npz",
}


def bmi(words):
    """Run one command in this process; return what it printed and its exit code."""
    from bmi_runtime.cli.group import bmi as group

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = group.main(words, standalone_mode=False)
    return out.getvalue(), code or 0


MADE = (  # what the pages have their readers make first
    "run --headless --speed max --duration 62 --seed 1 --record session.mcap --set session.bin_s=0.02",
    "run --headless --speed max --duration 20 --seed 2 --record later.mcap --set session.bin_s=0.02",
    "glm simulate --units 6 --bins 6000 --bin-s 0.002 --out data.npz",
    "glm fit data.npz --history-bins 10 --basis raised-cosine:4 --out fit.npz",
    "perturb simulate --out trial.npz",
    "compare session.mcap --decoders ole --write ole.npz",
    "fokker-planck run --b 0.5 --duration 2 --out run.npz",
    "networks make net.npz --size 60 --strength-uv-per-hz 50 --inhibitory-fraction 0.2",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with what the pages speak of: two sessions, counts and movements, a design, fits, a network."""
    folder = tmp_path_factory.mktemp("pages")
    with contextlib.chdir(folder):
        rng = np.random.default_rng(0)
        velocity = np.cumsum(rng.normal(size=(2000, 2)), axis=0) * 0.01
        velocity -= velocity.mean(axis=0)
        weights = rng.normal(size=(2, 12))
        counts = rng.poisson(np.exp(np.clip(0.5 + velocity @ weights, -3.0, 2.0)))
        np.savez("session.npz", counts=counts, bin_s=0.05, velocity=velocity)
        log_rates = np.c_[np.full(4, np.log(10.0)), 0.3 * weights[:, :4].T]
        np.savez("design.npz", states=rng.normal(size=(500, 2)), weights=log_rates, bin_s=0.005)
        for command in MADE:
            bmi(shlex.split(command))
        (folder / "recordings").mkdir()
        shutil.copy("session.mcap", "recordings")
    return folder


def stands_for(word):
    """Return a word with the file made here for the one that it names, alone or as ``key=FILE``."""
    key, equals, value = word.partition("=")
    return f"{key}={STANDS_FOR[value]}" if equals and value in STANDS_FOR else STANDS_FOR.get(word, word)


def prepare(words, folder):
    """Make in `folder` what a command needs and takes long to make."""
    made = {words[at + 1] for at, word in enumerate(words[:-1]) if word == "--out"}
    named = {word.rpartition("=")[2] for word in words} - made
    for name in sorted(named & set(PREPARED)):
        if not (folder / name).exists():
            with contextlib.chdir(folder):
                printed, code = bmi(shlex.split(PREPARED[name]))
            assert code == 0, printed


def small(command):
    """Return the words of a command on the files made here, a session cut short."""
    words = [stands_for(word) for word in shlex.split(command)[1:]]
    if "readout" in words:
        words = ["trained.npz" if word == "net.npz" else word for word in words]
    if words[0] == "run":
        words = [word for word in words if word not in ("--headless",)]
        for option in ("--duration", "--speed", "--record"):
            if option in words:
                at = words.index(option)
                del words[at : at + 2]
        words += ["--headless", "--speed", "max", "--duration", "2", "--record", "new.mcap"]
    return words


@pytest.mark.parametrize("command", list(typed()))
def test_it_runs_as_typed(command, files, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    words = small(command)
    prepare(words, files)
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for option in {"--out", "--write"} & set(words):  # files are never overwritten
        pathlib.Path(words[words.index(option) + 1]).unlink(missing_ok=True)
    printed, code = bmi(words)
    assert code == 0, f"{command}: {printed[-500:]}"


def shown():
    """Yield (page, command, output) where a page shows in a block of its own what the command before it prints."""
    for name in ("first_ten_minutes.md", "glm.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.M)
        for before, output in itertools.pairwise(blocks):
            lines = [line for line in before.splitlines() if line.startswith("bmi")]
            if lines and not re.match(r"bmi |make |import |from |state", output):
                yield pytest.param(lines, output, id=f"{name}: {lines[-1]}"[:100], marks=pytest.mark.slow)


@pytest.mark.parametrize(("lines", "output"), list(shown()))
def test_the_output_that_is_shown_is_what_comes_out(lines, output, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    if "first.mcap" in lines[-1]:
        bmi(["run", "--headless", "--speed", "max", "--duration", "60", "--seed", "1", "--record", "first.mcap"])
    printed = [bmi(shlex.split(line.partition("  #")[0])[1:])[0] for line in lines]
    for line in output.splitlines():
        assert line.rstrip() in "\n".join(printed), line


def test_a_page_is_typed_almost_whole():
    """What is not typed must stay the exception, and no reason may be there for nothing."""
    lines = [" ".join(line.partition("  #")[0].split()) for page in PAGES for line in commands(page)]
    unused = [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in lines)]
    assert not unused, f"nobody needs these exceptions: {unused}"
    assert len(list(typed())) >= 60
