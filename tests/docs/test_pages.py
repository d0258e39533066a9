"""The documentation: every link resolves, every example of the general pages runs."""

import json
import os
import pathlib
import re
import runpy
import shlex
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```(?:\w+)?\n.*?```|`[^`]*`", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_resolves(page):
    missing = []
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.split("#")[0]).exists():
            missing.append(target)
    assert missing == []


def anchors(page):
    """Return what a link into a page may name: its headings, as Markdown turns them into anchors."""
    headings = re.findall(
        r"^#+ +(.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.M
    )
    return {re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_is_a_heading(page):
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        file, hash_mark, name = target.partition("#")
        if hash_mark and not re.match(r"[a-z]+:", target):
            assert name in anchors(page.parent / file if file else page), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    """Files of the repository, whole or as `tests/glm`; names within a package may stand without it."""
    named = re.findall(
        r"\b((?:benchmarks|tests|configs|bmi_runtime|simulators|gui)/[\w./-]*\w)", page.read_text("utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def commands(page):
    """Return every `bmi ...` line of a page: in blocks of code, and in running text where it is a whole command."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^(?:```\w*\n(.*?)```|((?: {4}.*\n)+))", text, re.DOTALL | re.M)
    lines = [line for block in blocks for line in "".join(block).replace("\\\n", " ").splitlines()]
    running = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    inline = [" ".join(found.split()) for found in re.findall(r"`(bmi [^`]+)`", running)]
    return [line.strip().removeprefix("$ ") for line in [*lines, *inline] if re.match(r"\s*(\$ )?bmi [a-z-]", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_has_the_options_that_the_page_gives_it(page):
    import click

    from bmi_runtime.cli.group import bmi

    for line in commands(page):
        words = shlex.split(line.partition("  #")[0], comments=True)
        words = words[1 : next((i for i, word in enumerate(words) if word in ("|", "&", "&&", ">", "in")), None)]
        command, context = bmi, click.Context(bmi, info_name="bmi")
        while words and isinstance(command, click.Group):
            name = words.pop(0)
            if name.startswith("-") or name.isupper() or "|" in name:
                break
            found = command.get_command(context, name)
            assert found is not None, f"{page.name}: {line}"
            command, context = found, click.Context(found, info_name=name, parent=context)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z][\w-]*", word)}
        assert given <= known | {"--help", "-h"}, f"{page.name}: {line}: {given - known}"


def test_the_site_has_every_page_in_its_menu_and_every_module_in_its_reference():
    text = (ROOT / ".ci" / "mkdocs.yml").read_text(encoding="utf-8")
    site = pytest.importorskip("yaml").safe_load(text)
    assert isinstance(site["nav"], list) and site["strict"] and site["theme"] and len(site["plugins"]) == 2
    menu = text.partition("\nnav:")[2]
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")}
    assert {name for name in pages if name not in menu} == set()
    reference = runpy.run_path(str(ROOT / ".ci" / "reference.py"))
    found = reference["modules"]()
    assert all(found.values()), "a package of the reference has no module"
    named = set((ROOT / "docs" / "reference.md").read_text(encoding="utf-8").split("`"))
    wanted = {name for name in named if name.startswith("bmi_runtime.")}
    modules = {name for names in found.values() for name in names}
    assert {name for name in wanted if name not in modules and name.rpartition(".")[0] not in modules} == set()


def test_the_readme_leads_from_own_arrays_and_an_own_decoder_to_a_session(tmp_path, monkeypatch, bmi):
    """The two examples of the first page, as they stand: the file is read, the decoder's session reaches targets."""
    import numpy as np

    data, decoder = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    exec(data, {"np": np, "counts": rng.poisson(0.5, (2000, 20)), "velocity": rng.normal(size=(2000, 2))})
    assert "20" in bmi("inspect", "mine.npz").stdout
    (tmp_path / "mine.py").write_text(f"import numpy as np\n\n\n{decoder}")
    told = tmp_path / "mine-0.1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 0.1\n")
    (told / "entry_points.txt").write_text("[bmi_runtime.decoders]\nmy-own = mine:PopulationVector\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = "run --headless --speed max --duration 10 --seed 1 --record none --set decoder.kind=my-own --json"
    command = [sys.executable, "-m", "bmi_runtime.cli.main", *run.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["successes"] >= 8


@pytest.mark.parametrize("name", ["first_ten_minutes", "howto", "decoding", "fokker_planck", "own_data_and_decoder"])
def test_the_python_examples_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    namespace: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, f"{name}.md", "exec"), namespace)
    if name == "first_ten_minutes":
        assert namespace["session"].bins == 2000


def test_the_mappings_of_the_formats_page_are_mappings(tmp_path):
    from bmi_runtime.sources.mapping import load_mapping

    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "formats.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        (tmp_path / "map.toml").write_text(block)
        load_mapping(tmp_path / "map.toml")


def test_the_first_ten_minutes_as_typed(tmp_path, bmi):
    """Its commands run, the block is their answer, and the rate that it asks about does that when really run."""
    import numpy as np

    from bmi_runtime.recording.reader import Recording

    text = (ROOT / "docs" / "first_ten_minutes.md").read_text(encoding="utf-8")
    design = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "design.py").write_text(design[1])
    subprocess.run([sys.executable, "design.py"], cwd=tmp_path, check=True)
    lines = [line for line in re.findall(r"^bmi .*$", text, re.MULTILINE) if "hard_world" not in line]
    assert len(lines) >= 4
    printed = ""
    for line in lines:
        done = bmi(*line.split()[1:], cwd=tmp_path, columns=120)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        printed += done.stdout
    shown = re.search(r"```\n(error of the decoded velocity.*?)```", text, re.DOTALL)[1]
    assert shown in printed
    first = next(line for line in lines if "first.mcap" in line)
    again = first.replace("first", "second").split()[1:]
    assert bmi(*again, "--set", "adapter.learning_rate=1e-4", cwd=tmp_path).returncode == 0
    steps = Recording(tmp_path / "second.mcap").steps()["output"]
    error_m_s = np.sqrt(np.mean(np.sum((steps["decoded"][:, 2:] - steps["intended"]) ** 2, axis=1)))
    assert f"really run at 1e-4 with this seed has {100 * error_m_s:.2f}" in text


def test_the_decoder_of_the_how_to_decodes():
    import numpy as np

    from bmi_runtime.encoding.model import EncodingModel

    text = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    namespace: dict = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], namespace)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    model = EncodingModel.untrained(np.full(40, 10.0), "poisson", 0.05, 0.1)
    model.weights[1:] = np.cos(angle), np.sin(angle)
    decoder = namespace["PopulationVector"](model)
    counts = 0.05 * np.exp(np.array([1.0, 1.0, 0.0]) @ model.weights)  # moving right at 1 dm/s
    state = decoder.predict(counts)
    assert state[2] > 0.05
    assert abs(state[3]) < 0.01


def test_own_recording_and_own_decoder_as_typed(tmp_path):
    """The files of the page, its commands in their order in an empty folder, and what it shows of their answers."""
    text = (ROOT / "docs" / "own_data_and_decoder.md").read_text(encoding="utf-8")
    for body in re.findall(r"```(?:python|toml)\n# (.*?)```", text, re.DOTALL):
        name, _, content = body.partition("\n")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    subprocess.run([sys.executable, "make_recording.py"], cwd=tmp_path, check=True)
    installed = tmp_path / "my_lab" / "my_lab-0.1.dist-info"  # what `pip install -e my_lab` leaves, without a network
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lab\nVersion: 0.1\n")
    points = tomllib.loads((tmp_path / "my_lab" / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n" + "\n".join(f"{n} = {v}" for n, v in rows.items()) for group, rows in points.items()]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    environment = {**os.environ, "COLUMNS": "120", "PYTHONPATH": os.pathsep.join([*sys.path, str(installed.parent)])}
    printed = ""
    for line in re.findall(r"^bmi .*$", text, re.MULTILINE):
        if line.startswith("bmi decode"):
            continue  # a minute of training; tests/decoding
        command = [sys.executable, "-m", "bmi_runtime.cli.main", *line.split()[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        printed += done.stdout + done.stderr
    for table in re.findall(r"```\n(decoder .*?)```", text, re.DOTALL):
        for line in table.splitlines():
            assert line in [row.rstrip() for row in printed.splitlines()], line
    assert "21 of 21 targets reached" in printed and "identical to the bit" in printed
