"""``bmi perturb spikes``, ``judge`` and ``instrument``: couplings of a fit against stimulation and randomisation."""

import click

from bmi_runtime.cli.common import answer, answer_options
from bmi_runtime.cli.perturb_options import PATH, seed_option


@click.command()
@click.option("--out", type=PATH, required=True, help="File to write (.npz): counts, bin_s, true_coupling.")
@click.option("--units", default=14, show_default=True, help="Units that are recorded.")
@click.option("--hidden", default=5, show_default=True, help="Units that drive them and are not.")
@click.option("--seconds", default=1200.0, show_default=True, help="Time to simulate.")
@click.option("--schedule", type=PATH, help="Stimulation to run (from `bmi perturb plan FIT --out`).")
@click.option("--run", "run_number", default=0, show_default=True, help="Which run of the same network.")
@seed_option
@answer_options
def spikes(out, units, hidden, seconds, schedule, run_number, seed, as_json):
    """Simulate a spiking network of which a part is recorded, its couplings known; the same seed is the same network.

    Hidden units drive several recorded ones, so `bmi glm fit` finds couplings that are not there.
    """
    import numpy as np

    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation.coupled_world import coupled_world
    from bmi_runtime.analysis.perturbation.schedule import load_schedule
    from bmi_runtime.outputs import write_npz

    out = checked_npz(out)
    world = coupled_world(units, hidden, np.random.default_rng([seed, 0]))
    plan = None if schedule is None else load_schedule(schedule)
    counts = world.run(seconds, np.random.default_rng([seed, 1, run_number]), plan)
    truth = world.coupling[:units, :units]
    write_npz(out, counts=counts.astype(np.uint16), bin_s=world.bin_s, true_coupling=truth)
    between = (np.abs(truth).max(axis=2) > 0) & ~np.eye(units, dtype=bool)
    result = {
        "out": str(out),
        "bins": len(counts),
        "bin_s": world.bin_s,
        "units": units,
        "hidden": hidden,
        "spikes": int(counts.sum()),
        "couplings": int(between.sum()),
        "trials": 0 if plan is None else int((plan.onsets_s < seconds).sum()),
    }
    answer(result, as_json)


@click.command()
@click.argument("fit", type=PATH)
@click.argument("data", type=PATH)
@click.option("--schedule", type=PATH, help="The schedule that was run, when DATA is an .npz.")
@click.option("--fdr", default=0.05, show_default=True, help="False-discovery rate, of couplings and of verdicts.")
@click.option(
    "--truth",
    metavar="FILE|simulated",
    help="The true connections: a file, or those of the session's simulated network.",
)
@answer_options
def judge(fit, data, schedule, fdr, truth, as_json):
    """Say which couplings of FIT (from `bmi glm fit --out`) survive the stimulation in DATA.

    DATA is a session with stimulation (.mcap), or an .npz with counts and bin_s and the --schedule that was run.
    """
    from bmi_runtime.analysis.perturbation import judging, predicted, report_coupled, stimulated_files

    fitted = predicted.read_coupled_fit(fit, fdr)
    found = judging.judge(fitted, stimulated_files.read_stimulated(data, schedule), fdr)
    known = None if truth is None else _truth(truth, data, fitted.units)
    result = report_coupled.judged(found, known)
    answer(result, as_json, report_coupled.judged_text(fitted, result))


def _truth(truth, data, units):
    """Return the true connections: of a file, or of the network that a session simulated."""
    from bmi_runtime.analysis.perturbation.judging import truth_of
    from bmi_runtime.analysis.perturbation.stimulated_files import read_truth
    from bmi_runtime.errors import BadInput

    if truth != "simulated":
        return read_truth(truth, units)
    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.session.replay import recorded_config
    from simulators.network_source import NetworkSource

    if data.suffix != ".mcap" or (config := recorded_config(Recording(data))).source.kind != "network":
        raise BadInput(
            f"{data} is not a session of a simulated network (source.kind = network): give the truth as a file"
        )
    return truth_of(NetworkSource(config).connections(), units)


@click.command()
@click.argument("data", type=PATH)
@click.option("--early", default="0.1:0.3", show_default=True, help="Window of the source, s after the target came.")
@click.option("--late", default="0.3:0.5", show_default=True, help="Window of the other units.")
@click.option("--confidence", default=0.95, show_default=True, help="Of the intervals.")
@answer_options
def instrument(data, early, late, confidence, as_json):
    """Effects between units from what a session draws by lot anyway: which target came.

    DATA is a session (.mcap), or an .npz with counts, bin_s, trial_start (bins) and target (a row per trial).
    """
    from bmi_runtime.analysis.perturbation import instruments, report, report_coupled

    trials = instruments.read_trials(data, report.window(early, "--early"), report.window(late, "--late"))
    result = report_coupled.instrumented(instruments.of_targets(trials, confidence))
    answer(result, as_json, report_coupled.instrumented_text(result))
