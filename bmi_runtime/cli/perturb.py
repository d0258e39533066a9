"""``bmi perturb``: causal effects from perturbation."""

import pathlib

import click

from bmi_runtime.cli.common import answer, answer_options, progress

PATH = click.Path(path_type=pathlib.Path)
LARGEST_UNIT = 99_999  # far beyond any array; a mistyped range must not fill the memory
WHOLE = click.IntRange(min=0)
seed_option = click.option("--seed", default=0, type=WHOLE, show_default=True, help="Seed of everything random.")
neurons_option = click.option("--neurons", default=100, show_default=True, help="Neurons of the simulated system.")


@click.group()
def perturb():
    """Causal effects from perturbation."""


@perturb.command()
@click.option("--neurons", default=6, show_default=True, help="Neurons of the system.")
@click.option("--steps", default=5000, show_default=True, help="Time steps, perturbed and observed in turn.")
@click.option("--selected-neuron", default=1, show_default=True, help="The neuron whose effects are estimated alone.")
@click.option("--gui", is_flag=True, help="Show the causal graph, estimated and true, in a window.")
@answer_options
def tutorial(neurons, steps, selected_neuron, gui, as_json):
    """Run the Neuromatch tutorial on interventions, cell by cell, with its seeds."""
    from bmi_runtime.analysis.perturbation.tutorial import run_tutorial

    if gui:
        _show_tutorial(as_json, neurons, steps, selected_neuron)
        return
    done = run_tutorial(neurons, steps, selected_neuron)
    result = {
        "difference_in_means": done.difference_in_means,
        "single_neuron_correlation": done.single_correlation,
        "all_neurons_correlation": done.all_correlation,
        "selected_neuron": done.selected_neuron,
        "connectivity": done.connectivity,
        "single_neuron_estimate": done.single_estimate,
        "all_neurons_estimate": done.all_estimate,
    }
    none = "no number (the true connections are all alike)"
    single, every = (none if r is None else repr(r) for r in (done.single_correlation, done.all_correlation))
    text = (
        f"two neurons, randomised: difference in means {done.difference_in_means!r} (the truth is 1)\n"
        f"effects of neuron {selected_neuron} against its true connections: correlation {single}\n"
        f"all neurons, stacked correlation against the true connections: correlation {every}"
    )
    answer(result, as_json, text)


@perturb.command()
@click.option("--out", type=PATH, required=True, help="File to write (.npz): assignments, outcomes, connectivity.")
@neurons_option
@click.option("--steps", default=20000, show_default=True, help="Time steps.")
@click.option("--clamped-fraction", default=1.0, show_default=True, help="Share of neurons clamped at a clamped step.")
@click.option("--hidden", default=0.0, show_default=True, help="Strength of a hidden common input.")
@seed_option
@answer_options
def simulate(out, neurons, steps, clamped_fraction, hidden, seed, as_json):
    """Simulate a perturbed system with known connections, for `bmi perturb fit`."""
    import numpy as np

    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation import simulate as simulation
    from bmi_runtime.outputs import write_npz

    out = checked_npz(out)
    rng = np.random.default_rng(seed)
    connectivity = simulation.random_connectivity(neurons, rng)
    clamps = simulation.random_assignments(steps, neurons, rng, clamped_fraction=clamped_fraction)
    common = simulation.hidden_input(steps, neurons, rng, hidden) if hidden else None
    activity = simulation.simulate_sigmoid(connectivity, clamps, rng, common)
    assignments, outcomes = simulation.clamped_samples(clamps, activity)
    write_npz(out, assignments=assignments, outcomes=outcomes.astype(np.float32), connectivity=connectivity)
    answer(
        {"out": str(out), "samples": len(outcomes), "neurons": neurons, "connections": (connectivity > 0).sum()},
        as_json,
    )


@perturb.command()
@click.argument("data", type=PATH)
@click.option(
    "--out", type=PATH, help="File to write (.npz): estimate, standard_error, low, high, p_values, discoveries."
)
@click.option("--confidence", default=0.95, show_default=True, help="Of the intervals.")
@click.option("--fdr", default=0.05, show_default=True, help="False-discovery rate of the effects named.")
@click.option(
    "--permutations",
    default=0,
    type=WHOLE,
    show_default=True,
    help="Shuffles for p-values without assumptions; 0: t tests.",
)
@seed_option
@answer_options
def fit(data, out, confidence, fdr, permutations, seed, as_json):
    """Estimate all effects from DATA.npz: assignments (samples x sources: 1, 0, or -1 where not clamped), outcomes
    one step later.

    With `treatments` (what each source did, stimulated spikes included) in the file, the effect per added spike is
    estimated too, with the assignment as instrument. DATA may also be a folder of assignments.npy and outcomes.npy,
    read block by block.
    """
    import numpy as np

    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation import files

    out = checked_npz(out)
    found = files.fit_file(data, confidence, permutations, np.random.default_rng(seed))
    named = found.effects.discoveries(fdr)
    result = {
        "samples": found.samples,
        "sources": found.effects.estimate.shape[0],
        "targets": found.effects.estimate.shape[1],
        "discoveries": int(named.sum()),
        "fdr": fdr,
        "median_standard_error": float(np.median(found.effects.standard_error)),
        "largest": found.largest(named),
        "constant_targets": found.constant,
    }
    if found.truth is not None:
        result["correlation_with_truth"] = found.correlation_with_truth()
    if found.wald is not None:
        result["weak_instruments"] = np.flatnonzero(found.wald.weak)
    if out is not None:
        files.save_fit(out, found, named)
        result["out"] = str(out)
    answer(result, as_json, files.describe(result))


@perturb.command()
@neurons_option
@click.option("--steps", default="500,2000,8000,32000", show_default=True, help="Amounts of data, comma-separated.")
@click.option(
    "--hidden", default="0,1", show_default=True, help="Strengths of the hidden common input, comma-separated."
)
@click.option("--plot", type=PATH, help="Figure to write.")
@seed_option
@answer_options
def compare(neurons, steps, hidden, plot, seed, as_json):
    """Compare perturbation with regression and correlation, with and without a hidden common input."""
    import numpy as np

    from bmi_runtime.analysis.perturbation.simulate import compare_methods

    counts, strengths = _numbers(steps, int, "--steps"), _numbers(hidden, float, "--hidden")
    done = [compare_methods(neurons, np.array(counts), strength, seed) for strength in strengths]
    result = {"steps": counts, "comparisons": [{"hidden": one.hidden_strength, **one.agreement} for one in done]}
    if plot is not None:
        from bmi_runtime.analysis.perturbation.plots import comparison_figure

        result["files"] = [comparison_figure(done, plot)]
    lines = []
    for one in done:
        lines.append(f"hidden common input {one.hidden_strength:g}: correlation with the true connections")
        lines.append("  " + " " * 26 + "".join(f"{count:>10,}" for count in counts) + "  steps")
        lines += [
            f"  {name:26s}" + "".join(f"{value:10.3f}" for value in values) for name, values in one.agreement.items()
        ]
    answer(result, as_json, "\n".join(lines))


@perturb.command()
@click.option("--correlation", default=0.95, show_default=True, help="Wanted correlation with the true connections.")
@click.option("--pilot", type=PATH, help="A fit of a pilot experiment (from `bmi perturb fit --out`).")
@neurons_option
@click.option("--probability", default=0.1, show_default=True, help="Connection probability of the assumed system.")
@click.option(
    "--trial-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Duration of one perturbation, to answer in hours too.",
)
@click.option("--plot", type=PATH, help="Figure to write.")
@seed_option
@answer_options
def plan(correlation, pilot, neurons, probability, trial_s, plot, seed, as_json):
    """How many perturbations until the correlation with the true connections passes a wanted value?"""
    import numpy as np

    from bmi_runtime.analysis.perturbation import files, planning
    from bmi_runtime.errors import BadInput

    if trial_s is not None and not np.isfinite(trial_s):
        raise BadInput(f"--trial-s is {trial_s:g}: give the duration of one perturbation in seconds")
    if pilot is None:
        system = files.assumed_system(neurons, probability, seed)
    else:
        system = files.pilot_system(pilot)
    samples = planning.samples_for_correlation(system, correlation)
    result = {
        "samples": samples,
        "correlation": correlation,
        "limit": system.limit,
        "effect_sd": system.effect_variance**0.5,
        "outcome_sd": system.outcome_variance**0.5,
        "samples_to_find_typical_effect": planning.samples_for_power(
            system.effect_variance**0.5, system.outcome_variance**0.5
        ),
    }
    text = f"{samples:,} clamped samples per neuron for a correlation of {correlation:g} "
    text += f"(without noise: {system.limit:.5f})"
    if trial_s is not None:
        result["hours"] = samples * trial_s / 3600
        text += f": {result['hours']:.3g} hours at {trial_s:g} s each"
    if plot is not None:
        from bmi_runtime.analysis.perturbation.plots import plan_figure

        result["files"] = [plan_figure(system, correlation, plot)]
    answer(result, as_json, text)


@perturb.command()
@click.option("--units", required=True, help="Units to perturb: 0,3,5 or 0-9.")
@click.option("--trials", default=200, show_default=True, help="Number of trials.")
@click.option("--per-trial", type=int, help="Units taking part in each trial (all by default).")
@click.option("--sham-fraction", default=0.5, show_default=True, help="Share of a unit's trials that are sham.")
@click.option("--interval-s", default=0.5, show_default=True, help="Mean time between onsets.")
@click.option("--jitter-s", default=0.1, show_default=True, help="Onsets move by up to half of this either way.")
@click.option("--pulses", default=1, show_default=True, help="Spikes added by one stimulation.")
@click.option("--out", type=PATH, help="File to write (.npz).")
@click.option("--plot", type=PATH, help="Figure to write.")
@seed_option
@answer_options
def schedule(units, trials, per_trial, sham_fraction, interval_s, jitter_s, pulses, out, plot, seed, as_json):
    """Draw a randomised stimulation schedule with sham trials, for a session to run."""
    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation.schedule import StimulationDesign

    out = checked_npz(out)
    design = StimulationDesign(
        _units(units), trials, per_trial, sham_fraction, max(1.0, jitter_s), interval_s, jitter_s, pulses, seed
    )
    drawn = design.draw()
    result = {
        "trials": drawn.trials,
        "units": drawn.units,
        "stimulated": (drawn.assignments == 1).sum(axis=0),
        "sham": (drawn.assignments == 0).sum(axis=0),
        "duration_s": float(drawn.onsets_s[-1] + interval_s),
        "first": drawn.event(0),
    }
    if out is not None:
        drawn.save(out)
        result["out"] = str(out)
    if plot is not None:
        from bmi_runtime.analysis.perturbation.plots import schedule_figure

        result["files"] = [schedule_figure(drawn, plot)]
    answer(result, as_json)


@perturb.command()
@click.argument("fit_file", required=False, type=PATH)
@click.option("--folder", type=PATH, help="Existing folder for the figures.")
@click.option("--gui", is_flag=True, help="Show FIT_FILE (or, without one, the tutorial) in a window.")
@answer_options
def plot(fit_file, folder, gui, as_json):
    """Draw the effects in FIT_FILE (from `bmi perturb fit --out`) as graph and heat-map, into a folder or, with --gui,
    in a window. Without FIT_FILE: redraw the tutorial's figures, true against estimated.
    """
    from bmi_runtime.errors import BadInput

    if gui and fit_file is not None:
        from bmi_runtime.cli.analysis_view import show_file

        show_file("causal", fit_file, as_json)
        return
    if gui:
        _show_tutorial(as_json)
        return
    if folder is None:
        raise BadInput("give an existing folder for the figures (--folder FOLDER), or --gui for a window")
    if fit_file is not None:
        from bmi_runtime.analysis.perturbation.files import read_fit
        from bmi_runtime.analysis.perturbation.plots import fit_figure

        drawn = fit_figure(read_fit(fit_file), folder / f"{fit_file.stem}_effects.png")
        answer({"files": [drawn]}, as_json, drawn)
        return
    from bmi_runtime.analysis.perturbation import plots
    from bmi_runtime.analysis.perturbation.tutorial import run_tutorial

    with progress("tutorial"):
        done = run_tutorial()
    files = [
        plots.tutorial_figure(done, folder / "perturb_tutorial.png"),
        plots.single_neuron_figure(done, folder / "perturb_single_neuron.png"),
    ]
    answer({"files": files}, as_json, "\n".join(files))


def _show_tutorial(as_json, *options):
    from bmi_runtime.analysis.perturbation.tutorial import run_tutorial
    from bmi_runtime.cli.analysis_view import needs_display, show

    needs_display()
    with progress("tutorial"):
        done = run_tutorial(*options)
    arrays = {"estimate": done.all_estimate, "connectivity": done.connectivity}
    show("causal", arrays, "tutorial", as_json)


def _numbers(text: str, kind, name: str) -> list:
    from bmi_runtime.errors import BadInput

    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"{name} must be numbers separated by commas, not '{text}'") from None


def _units(text: str) -> tuple[int, ...]:
    """Return the unit numbers named by ``0,3,5`` or ``0-9`` or a mixture."""
    from bmi_runtime.errors import BadInput

    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise BadInput(f"--units must look like 0,3,5 or 0-9, not '{text}'")
        if int(last or first) > LARGEST_UNIT:
            raise BadInput(f"--units names unit {int(last or first):,}; the largest unit number is {LARGEST_UNIT:,}")
        if int(last or first) < int(first):
            raise BadInput(f"--units must ascend within a range, as in 0-9, not '{part.strip()}'")
        units += range(int(first), int(last or first) + 1)
    return tuple(units)
