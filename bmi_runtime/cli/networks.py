"""``bmi networks``: integrate-and-fire networks, their steady states, their study, their spikes."""

import pathlib

import click

from bmi_runtime.cli.common import answer, answer_options


@click.group()
def networks():
    """Integrate-and-fire networks and their fixed points."""


@networks.command()
@click.argument("network", type=click.Path(path_type=pathlib.Path))
@click.option("--starts", default=24, show_default=True, help="Starting points tried.")
@click.option("--method", default="auto", show_default=True, help="auto, iteration, anderson, newton or krylov.")
@click.option("--seed", default=0, show_default=True, help="Seed of the random starts.")
@click.option("--tolerance-mv", default=1e-10, show_default=True, help="Wanted residual.")
@answer_options
def solve(network, starts, method, seed, tolerance_mv, as_json):
    """Find the steady states of NETWORK.npz: E = E_0 + W r(E).

    The file holds weights (n x n, mV per Hz, row = target), external_mv (E_0, leak included), tau_ms, e_l_mv,
    v_threshold_mv, v_reset_mv, refractory_ms and sigma_mv.
    """
    from bmi_runtime.analysis.networks import fixed_points
    from bmi_runtime.analysis.networks import network as networks_module

    loaded = networks_module.load_network(network)
    result = fixed_points.solve(loaded, starts, method, seed, tolerance_mv)
    answer(result.as_dict(), as_json, _described(result))


def _described(result) -> str:
    words = {True: "stable", False: "unstable", None: "stability unknown"}
    lines = [
        f"{len(result.fixed_points)} fixed point(s) from {result.starts} starts ({result.starts_converged} converged)"
    ]
    for point in result.fixed_points:
        lines.append(f"  mean rate {point.rates_hz.mean():.4g} Hz (sd {point.rates_hz.std():.3g} Hz)")
        lines.append(f"    mean input {point.input_mv.mean():.4g} mV, residual {point.residual:.1e} mV")
        lines.append(f"    {words[point.stable]} under iteration (spectral radius {point.spectral_radius:.4g})")
        lines.append(
            f"    {words[point.stable_in_time]} in continuous time (leading eigenvalue {point.leading_real:.4g})"
        )
        lines.append(f"    {point.iterations} products with W ({point.method}); reached from {point.starts} starts")
    constants = ", ".join(f"{name}-norm {value:.4g}" for name, value in result.contraction.items())
    return "\n".join([*lines, f"contraction constants max r' |W|: {constants}", result.statement])
