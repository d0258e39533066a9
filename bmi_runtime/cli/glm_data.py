"""``bmi glm bin`` and ``simulate``: counts to fit, of recorded spikes or drawn from a model."""

import click

from bmi_runtime.cli.common import OutFile, answer, answer_options, say
from bmi_runtime.cli.glm_options import load


@click.command(name="bin")
@click.argument("spikes", metavar="SPIKES")
@click.option("--bin-s", type=float, default=0.001, show_default=True, help="Width of a bin.")
@click.option("--units", default=None, metavar="NAMES", help="Which units, as 2,3 (as `bmi inspect` names them).")
@click.option("--segment", type=int, default=None, help="Which stretch without a break, from 1; the longest if absent.")
@click.option("--tick-s", type=float, default=None, help="What a tick of a .gdf file is, s.  [default: 0.001]")
@click.option("--out", type=OutFile(), required=True, help="Where to write the counts (.npz).")
@answer_options
def bin_spikes(spikes, bin_s, units, segment, tick_s, out, as_json):
    """Count the spikes of SPIKES (.gdf, .h5, .nwb, or an acquisition system's file) in bins, for the other verbs."""
    import pathlib

    import numpy as np

    from bmi_runtime.errors import BadInput
    from bmi_runtime.outputs import write_npz
    from bmi_runtime.sources.spike_counts import count_spikes

    path = pathlib.Path(spikes)
    if not path.exists():
        raise BadInput(f"there is no file '{spikes}'")
    named = None if units is None else [name.strip() for name in units.split(",") if name.strip()]
    found = count_spikes(path, bin_s, named, segment, tick_s)
    write_npz(out, counts=found.counts, bin_s=bin_s, unit_names=np.array(found.unit_names))
    result = {"bins": len(found.counts), "bin_s": bin_s, "units": len(found.unit_names), "spikes": found.spikes}
    result |= {"spikes_left_out": found.left_out, "unit_names": found.unit_names, "segment": found.segment}
    result |= {"segments": found.segments, "segment_s": found.segment_s, "out": out}
    if found.left_out:
        where = f"outside segment {found.segment} of {found.segments} and its whole bins"
        say(f"note: {found.left_out:,} spikes {where} are left out", as_json)
    shape = f"{len(found.unit_names)} units, {len(found.counts):,} bins of {bin_s:g} s, {found.spikes:,} spikes"
    answer(result, as_json, f"{shape}, written to {out}")


@click.command()
@click.argument("fit_file", required=False)
@click.argument("data", required=False)
@click.option("--units", type=int, default=10, show_default=True, help="Of a random network.")
@click.option("--bins", type=int, default=60_000, show_default=True, help="How many are drawn.")
@click.option("--bin-s", type=float, default=0.001, show_default=True, help="Width of a bin, s.")
@click.option("--rate-hz", type=float, default=15.0, show_default=True, help="Baseline rate.")
@click.option("--history-bins", type=int, default=50, show_default=True, help="Past bins that act on a rate.")
@click.option("--basis", default="raised-cosine:6", show_default=True, help="raw, raised-cosine:N, b-spline:N, ...")
@click.option("--seed", type=int, default=1, show_default=True, help="Of network and spikes.")
@click.option("--out", type=OutFile(), required=True, help="Where to write the data (.npz).")
@answer_options
def simulate(fit_file, data, units, bins, bin_s, rate_hz, history_bins, basis, seed, out, as_json):
    """Draw spikes from FIT_FILE (covariates from DATA if it has any), or from a random network of two areas."""
    import numpy as np

    from bmi_runtime.analysis.glm.bases import parse_basis
    from bmi_runtime.analysis.glm.files import choose_covariates, load_fit
    from bmi_runtime.analysis.glm.simulation import branching_ratio, random_network, smooth_velocity
    from bmi_runtime.analysis.glm.simulation import simulate as draw
    from bmi_runtime.errors import BadInput
    from bmi_runtime.outputs import write_npz

    if min(units, bins) < 1 or not (0 < bin_s < np.inf and 0 < rate_hz < np.inf):
        raise BadInput("--units, --bins, --bin-s and --rate-hz must be positive and finite")
    if not fit_file and bins < 2:
        raise BadInput("the movement of a random network takes --bins 2 at least")
    rng = np.random.default_rng(seed)
    if fit_file:
        model = load_fit(fit_file)
        table = choose_covariates(load(data))[0] if data and model.standardisation_ else None
        bins = bins if table is None else len(table)
        counts, coupling = model.simulate(bins, table, seed), model.coupling_
        extra = {"bin_s": model.bin_s_ or bin_s} | ({} if table is None else {"covariates": np.asarray(table)})
    else:
        network = random_network(units, parse_basis(basis, history_bins), rng, rate_hz * bin_s)
        velocity = smooth_velocity(bins, bin_s, rng)
        coupling, drive = network.coupling, velocity @ network.covariate_weights.T
        counts = draw(network.intercept, coupling, bins, rng, drive)
        truth = {"intercept": network.intercept, "coupling": coupling, "covariate_weights": network.covariate_weights}
        extra = {"bin_s": bin_s, "velocity": velocity, "covariates": velocity, "areas": np.array(network.areas)}
        extra |= {f"true_{name}": value for name, value in truth.items()}
    write_npz(out, counts=counts.astype(np.uint16), **extra)
    rate = counts.mean(axis=0)
    result = {
        "bins": bins,
        "units": counts.shape[1],
        "spikes": int(counts.sum()),
        "mean_rate_hz": float(rate.mean() / extra["bin_s"]),
        "branching_ratio": branching_ratio(rate, coupling),
        "out": out,
    }
    answer(result, as_json)
