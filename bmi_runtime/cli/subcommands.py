"""The table of subcommands. It imports nothing that is slow to import: ``bmi --help`` is answered from it alone."""

import os

SUBCOMMANDS = {  # name: (module, function, one line of help)
    "run": ("bmi_runtime.cli.run", "run", "A closed-loop session; a window if there is a display."),
    "simulate": ("bmi_runtime.cli.simulate", "simulate", "A spike source in its own process."),
    "replay": ("bmi_runtime.cli.replay", "replay", "A recording through the same step: verify it, or ask what if."),
    "decode": ("bmi_runtime.cli.decode", "decode", "Stream an open-loop recording: adapt, then decode."),
    "train": ("bmi_runtime.cli.train", "train", "Train a recurrent decoder on recordings, for a session."),
    "learn": ("bmi_runtime.cli.learn", "learn", "Beside a session: refit a decoder as it runs, and hand it over."),
    "calibrate": ("bmi_runtime.cli.calibrate", "calibrate", "Learning rate to error and convergence time, and back."),
    "glm": ("bmi_runtime.cli.glm", "glm", "Coupled Poisson GLMs: bin, simulate, fit, select, test, plot, export."),
    "perturb": ("bmi_runtime.cli.perturb", "perturb", "Causal effects from perturbation."),
    "networks": ("bmi_runtime.cli.networks", "networks", "Integrate-and-fire networks and their fixed points."),
    "fokker-planck": ("bmi_runtime.cli.fokker_planck", "fokker_planck", "Populations of neurons as densities."),
    "sweep": ("bmi_runtime.cli.sweep", "sweep", "Any command over a grid of settings."),
    "compare": ("bmi_runtime.cli.compare", "compare", "Decoders side by side, with confidence intervals."),
    "rehearse": ("bmi_runtime.cli.rehearse", "rehearse", "Settings tried on a pilot's own units and subject."),
    "inspect": ("bmi_runtime.cli.inspect", "inspect", "What is in a recording or data file, and what is odd."),
    "lineage": ("bmi_runtime.cli.lineage", "lineage", "Sessions of a folder as a chain."),
    "stability": ("bmi_runtime.cli.stability", "stability", "Has the array changed since the reference days?"),
    "sync": ("bmi_runtime.cli.sync", "sync", "Delay and jitter of a photodiode against the target onsets."),
    "recover": ("bmi_runtime.cli.recover", "recover", "Salvage a truncated recording."),
    "export": ("bmi_runtime.cli.export", "export", "A recording to NWB or tables."),
    "guard": ("bmi_runtime.cli.guard", "guard", "An independent process between the runtime and an effector."),
    "gui": ("bmi_runtime.cli.gui", "gui", "Open the operator's console, or render a picture of it."),
    "keys": ("bmi_runtime.cli.keys", "keys", "Make the keys that secure sockets off loopback."),
    "doctor": ("bmi_runtime.cli.doctor", "doctor", "Is this machine fit for a live session?"),
    "figures": ("bmi_runtime.cli.figures", "figures", "Redraw a published figure from our own runs."),
}


ABOUT = "Closed-loop brain-machine interfaces: run, replay, decode, calibrate, analyse."


def exists(module: str) -> bool:
    """Return whether a module of the command line is there, without importing it."""
    here = os.path.dirname(__file__)
    return os.path.exists(os.path.join(here, module.rpartition(".")[2] + ".py"))
