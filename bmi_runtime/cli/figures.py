"""``bmi figures N``: redraw a published figure from our own runs."""

import pathlib

import click

from bmi_runtime.cli.common import answer, answer_options, progress


@click.command()
@click.argument("numbers", nargs=-1, required=True, metavar="N...")
@click.option(
    "--out", type=click.Path(file_okay=False), default="figures", show_default=True, help="Folder for the files."
)
@click.option("--quick", is_flag=True, help="A look in under a minute: a tenth of the simulations.")
@click.option("--cluster", default=None, metavar="ADDRESS|FILE", help="Dask cluster to share the realisations on.")
@click.option("--recording", "recordings", multiple=True, type=click.Path(), metavar="FILE",
              help="For `real`: a recording; for `readout`: a file of `bmi train`; once for each.")  # fmt: skip
@answer_options
def figures(numbers, out, quick, cluster, recordings, as_json):
    """Redraw figures 2 to 9 (or `all`) of the learning-rate calibration, or `schedule`, from our own simulations.

    `real` compares predicted with achieved scatter of the weights on recordings (--recording FILE, several times):
    data files of `bmi decode` or sessions (.mcap). `readout` compares what rates of a network's read-out cost with what
    is expected (--recording NET.npz, a file of `bmi train`).

    Each comes as PNG and SVG, with its data as CSV. The simulation's protocol is written under each; it is ours, and
    so are the numbers. Realisations run on all cores, or on a Dask cluster (tcp://..., or a job-queue file); that
    changes no number.
    """
    from bmi_runtime.calibration.experiments import Effort
    from bmi_runtime.calibration.figures import STEPS, draw
    from bmi_runtime.calibration.plots import pyplot
    from bmi_runtime.cluster import joblib_on

    if "real" in numbers:
        _real(numbers, recordings, out, as_json)
        return
    if "readout" in numbers:
        _readout(numbers, recordings, out, as_json)
        return
    chosen = _chosen(numbers)
    pyplot()  # says at once when matplotlib is missing
    effort = Effort.quick() if quick else Effort()
    files: list[pathlib.Path] = []
    steps = sum(STEPS[number] for number in chosen)
    with joblib_on(cluster), progress(f"figures {' '.join(numbers)}", steps) as advance:
        for number in chosen:
            files += draw(number, pathlib.Path(out), effort, lambda _: advance())
    paths = [str(file) for file in files]
    answer({"files": paths}, as_json, "\n".join(paths))


def _real(numbers, recordings, out, as_json) -> None:
    """Draw the figure of recordings, and say its medians."""
    from bmi_runtime.calibration.figure_real import draw_real, recorded
    from bmi_runtime.calibration.plots import pyplot
    from bmi_runtime.calibration.recordings import RATES
    from bmi_runtime.errors import BadInput

    if len(numbers) > 1:
        raise BadInput("`real` is drawn from recordings and the others from simulations; ask for it alone")
    if not recordings:
        raise BadInput("`real` compares on recordings; give each with --recording FILE (.mcap, .npz, .mat, .nwb)")
    pyplot()
    with progress("figures real", len(recordings) * len(RATES)) as advance:
        files, rows = draw_real(recorded(recordings), pathlib.Path(out), lambda _: advance())
    paths = [str(file) for file in files]
    lines = [
        f"{row['recording']}, {row['rate']:g}: achieved over predicted {row['closed_median']:.2f} (closed form), "
        f"{row['measured_median']:.2f} ({row['measured_tenth']:.2f} to {row['measured_ninetieth']:.2f}) measured; "
        f"{100 * row['inside_measured']:.0f} % inside the 95 % bounds"
        for row in rows
    ]
    answer({"files": paths, "rows": rows}, as_json, "\n".join([*lines, *paths]))


def _readout(numbers, files, out, as_json) -> None:
    """Draw the figure of read-outs from the files of networks, and say what was found at every rate."""
    import numpy as np

    from bmi_runtime.calibration.figure_readout import RATES, Stretch, draw_readout
    from bmi_runtime.calibration.plots import pyplot
    from bmi_runtime.cli.calibrate_methods import plan_of_file
    from bmi_runtime.errors import BadInput

    if len(numbers) > 1 or not files:
        raise BadInput("`readout` is drawn alone, from networks; give each with --recording FILE.npz of 'bmi train'")
    stretches = []
    for path in files:
        plan = plan_of_file(path)[0]
        if plan.features is None:
            raise BadInput(f"{path} holds no validation part, an older version wrote it; train it again")
        features, residual = np.asarray(plan.features, float), np.asarray(plan.residual, float)
        stretches.append(Stretch(pathlib.Path(path).stem, features, residual, plan.pilot.noise, plan.pilot.bin_s))
    pyplot()
    with progress("figures readout", len(files) * len(RATES)) as advance:
        written, rows = draw_readout(stretches, pathlib.Path(out), advance)
    paths = [str(file) for file in written]
    lines = [
        f"{row['network']}, {row['rate']:.1e}: excess {row['measured']:.3g} of the residual variance, expected "
        f"{row['expected']:.3g} ({row['measured_over_expected']:.2f} of it; {row['white']:.3g} if scores were white)"
        for row in rows
    ]
    answer({"files": paths, "rows": rows}, as_json, "\n".join([*lines, *paths]))


def _chosen(numbers) -> list[int]:
    """Return the figures asked for, in order."""
    from bmi_runtime.calibration.figures import NUMBERS, SCHEDULE
    from bmi_runtime.errors import BadInput

    if "all" in numbers:
        return [SCHEDULE, *NUMBERS]
    known = {str(number): number for number in NUMBERS} | {"schedule": SCHEDULE}
    wrong = [text for text in numbers if text not in known]
    if wrong:
        raise BadInput(f"there is no figure '{wrong[0]}'; choose from {', '.join(known)}, real, readout, or all")
    return sorted({known[text] for text in numbers})
