"""The reference of the site: a page for each package, with every public module of it, made from the docstrings.

A hook of mkdocs. The pages exist in the built site alone; docs/reference.md says where to begin in them.
"""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = {  # in the order of docs/architecture.md: what is in each
    "bmi_runtime": "Configuration, messages, registry, sweeps",
    "bmi_runtime.session": "The session: its step, its shell, safety, supervision",
    "bmi_runtime.encoding": "Encoding models and their adaptation",
    "bmi_runtime.decoding": "Decoders",
    "bmi_runtime.calibration": "The learning rate and what follows from it",
    "bmi_runtime.intention": "What the subject wants",
    "bmi_runtime.tasks": "Tasks",
    "bmi_runtime.sources": "Sources of spikes, readers of files",
    "bmi_runtime.recording": "The recording",
    "bmi_runtime.playback": "Recordings played to the window",
    "bmi_runtime.rehearsal": "Rehearsals",
    "bmi_runtime.analysis": "Stability of an array, metrics",
    "bmi_runtime.analysis.glm": "Coupled GLMs",
    "bmi_runtime.analysis.perturbation": "Perturbation",
    "bmi_runtime.analysis.networks": "Rate networks",
    "bmi_runtime.analysis.fokker_planck": "Fokker-Planck populations",
    "bmi_runtime.schema": "Sections of the configuration",
    "bmi_runtime.kernels": "Compiled kernels",
    "simulators": "Simulated subjects, units, acquisition systems",
    "gui": "The windows",
    "gui.panels": "Panels of the console",
}
LEFT_OUT = {"bmi_runtime.cli": "commands answer --help"}


def modules():
    """Return {package: [module]} of every public module; the package of a subfolder without a page is its parent's."""
    found = {package: [] for package in PACKAGES}
    for top in ("bmi_runtime", "simulators", "gui"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if path.name.startswith("_") or any(name.startswith(f"{out}.") for out in LEFT_OUT):
                continue
            package = name.rpartition(".")[0]
            while package not in PACKAGES:
                package = package.rpartition(".")[0]
            found[package].append(name)
    return found


def summary(module):
    """Return the first line of a module's docstring."""
    text = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def page(package, names):
    """Return the Markdown of a package's page: a table of its modules, then each one's docstrings."""
    rows = [f"| [`{name.removeprefix(package + '.')}`][{name}] | {summary(name)} |" for name in names]
    head = [f"# {PACKAGES[package]}", "", f"`{package}`", "", "| module | what it is |", "| --- | --- |", *rows, ""]
    return "\n".join([*head, *(f"::: {name}" for name in names), ""])


def place(package):
    """Return where a package's page stands in the site."""
    return f"reference/{package}.md"


def on_config(config):
    """Put the pages behind the page that leads to them."""
    for section in config["nav"]:
        for entries in section.values() if isinstance(section, dict) else ():
            if isinstance(entries, list) and "reference.md" in entries:
                pages = [{PACKAGES[package]: place(package)} for package in PACKAGES]
                entries[entries.index("reference.md")] = {"Reference": ["reference.md", *pages]}
    return config


def on_files(files, config):
    """Add the pages to the site."""
    from mkdocs.structure.files import File

    for package, names in modules().items():
        files.append(File.generated(config, place(package), content=page(package, names)))
    return files
