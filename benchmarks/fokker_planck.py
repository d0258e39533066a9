"""Claim: at equal error at least 20 times fewer CPU seconds than the best peer; a 1,000-cell implicit step under 25 us.

usage: python benchmarks/fokker_planck.py [--cells 400] [--peer-python PYTHON]

The problem: b = 0.8, a Gaussian (mean -1, variance 0.25) at t = 0, N(2). Every solver is asked for the same error of
N(2) against the integral equation (py-pde: its own uniform grid) or against the exact solution on the same grid
(scipy's BDF, which gets our fluxes, a sparse Jacobian pattern and the loosest tolerance that reaches the error).
fplanck knows reflecting and periodic ends only: no threshold, no reset, no N(t). It is asked for what it can do, the
relaxation of the linear equation (b = 0) without a threshold, and so are we (V_F = 8, where no mass gets to).
`--peer-python` names an interpreter that has py-pde and fplanck. Prints a table and one JSON line.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
from scipy import sparse
from scipy.integrate import solve_ivp

from bmi_runtime.analysis.fokker_planck import evolve, grid, volterra
from bmi_runtime.analysis.fokker_planck.initial import Gaussian, masses
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.kernels import fokker_planck_weights as kernels

MODEL, INITIAL, DURATION = Model(b=0.8), Gaussian(-1.0, 0.25), 2.0

PY_PDE = """
import json, sys, time
import numpy as np
from pde import CartesianGrid, PDEBase, ScalarField
cells = int(sys.argv[1])
low, vf, vr, b, duration = -7.0, 2.0, 1.0, 0.8, 2.0
grid = CartesianGrid([[low, vf]], cells)
v = grid.axes_coords[0]
h = v[1] - v[0]
at = (vr - v[0]) / h
i = int(at); share = at - i
bc = {"x-": {"value": 0}, "x+": {"value": 0}}
class Population(PDEBase):
    def rate(self, p):
        return (9 * p.data[-1] - p.data[-2]) / (3 * h)
    def evolution_rate(self, state, t=0):
        n = self.rate(state)
        flux = ScalarField(grid, (b * n - v) * state.data)
        out = state.laplace(bc) - flux.gradient(bc)[0]
        out.data[i] += (1 - share) * n / h
        out.data[i + 1] += share * n / h
        return out
p = np.exp(-(v + 1) ** 2 / 0.5); p /= p.sum() * h
eq = Population()
results = []
field = ScalarField(grid, p)
for _ in range(2):
    start = time.process_time()
    how = dict(dt=0.2 * h * h, solver="runge-kutta", adaptive=True, backend="numpy", tracker=None)
    end = eq.solve(field, t_range=duration, **how)
    results.append(time.process_time() - start)
print(json.dumps({"seconds": min(results), "rate": float(eq.rate(end))}))
"""

FPLANCK = """
import json, sys, time
import numpy as np
np.product = np.prod  # it was written for numpy 1
from scipy import constants
from fplanck import boundary, fokker_planck
cells = int(sys.argv[1])
how = dict(temperature=1 / constants.k, drag=1.0, extent=16.0, resolution=16.0 / cells)
equation = fokker_planck(force=lambda v: -v, boundary=boundary.reflecting, **how)
v = equation.grid[0]
best = np.inf
for _ in range(3):
    start = time.process_time()
    mass = equation.propagate(lambda v: np.exp(-(v + 1) ** 2 / 0.5), 2.0, dense=sys.argv[2] == "dense")
    best = min(best, time.process_time() - start)
mean, variance = -np.exp(-2.0), 1 - 0.75 * np.exp(-4.0)
exact = np.exp(-((v - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance) * 16.0 / cells
print(json.dumps({"seconds": best, "error": float(np.abs(mass - exact).sum())}))
"""


def ours(mesh, tolerance, model=MODEL, initial=INITIAL):
    """Return (CPU seconds, the run at its end)."""
    mass = masses(initial, model, mesh)
    best = np.inf
    for _ in range(7):
        run = evolve.Integrator(model, mesh, mass, tolerance)
        start = time.process_time()
        run.to(DURATION)
        best = min(best, time.process_time() - start)
    return best, run


def our_rate(mesh, tolerance):
    """Return (CPU seconds, N)."""
    seconds, run = ours(mesh, tolerance)
    return seconds, run.rate


def right_hand_side(mesh):
    """Return the semi-discrete equation in numpy, N solved for inside, and the rate."""
    mid, gap, width = mesh.edges

    def fluxes(drift):
        y = (mid - drift) * gap
        s = np.abs(y) + 1e-12
        small = s / np.expm1(s)
        scale = (1 + gap * gap * np.where(s < 0.02, 1 / 3, 4 * (small + 0.5 * s - 1) / (s * s)) / 4) / gap
        return scale * np.where(y > 0, small, small - y), scale * np.where(y > 0, small + y, small)

    def rate(mass):
        found = 0.0
        for _ in range(30):
            y = (mid[-1] - MODEL.b * found) * gap[-1]
            new = y / np.expm1(y) / gap[-1] * (1 + gap[-1] ** 2 / 12) * mass[-1] / width[-1]
            if abs(new - found) < 1e-14:
                break
            found = new
        return new

    def slope(_, mass):
        n = rate(mass)
        up, down = fluxes(MODEL.b * n)
        p = mass / width
        flux = up * p
        flux[:-1] -= down[:-1] * p[1:]
        flux[-1] = n
        out = -flux
        out[1:] += flux[:-1]
        out[mesh.reset] += n
        return out

    return slope, rate


def method_of_lines(mesh, tolerance):
    """Return (CPU seconds, N) of scipy's BDF on the same semi-discrete equation."""
    slope, rate = right_hand_side(mesh)
    n = mesh.v.size
    pattern = sparse.lil_matrix(sparse.diags([1.0, 1.0, 1.0], [-1, 0, 1], shape=(n, n)))
    pattern[:, -1] = 1
    mass = masses(INITIAL, MODEL, mesh)
    best = np.inf
    for _ in range(2):
        start = time.process_time()
        run = solve_ivp(
            slope,
            (0, DURATION),
            mass,
            method="BDF",
            rtol=tolerance,
            atol=tolerance * 1e-3,
            jac_sparsity=pattern.tocsc(),
        )
        best = min(best, time.process_time() - start)
    return best, rate(run.y[:, -1])


def reach(solver, mesh, exact, wanted):
    """Return (seconds, error, tolerance) at the loosest tolerance whose error is at most `wanted`."""
    for tolerance in 10.0 ** np.arange(-3, -11.5, -0.5):
        seconds, rate = solver(mesh, tolerance)
        if abs(rate - exact) <= wanted:
            return seconds, abs(rate - exact), tolerance
    raise SystemExit("a solver did not reach the wanted error")


def step_seconds():
    """Return the CPU seconds of a 1,000-cell implicit Euler step and of a whole RODAS step (fourth order, N
    implicit).
    """
    mesh = grid.build(MODEL, 1000, -7.0)
    mass = masses(INITIAL, MODEL, mesh)
    one, rates, work = mass[None, :].copy(), np.zeros(1), np.zeros((8, mesh.v.size))
    arguments = (one, 1e-3, mesh.reset, mesh.table, np.array([0.1]), 1.0, work, rates)
    kernels.relax_potentials(*arguments)
    euler = min(_timed(lambda: [kernels.relax_potentials(*arguments) for _ in range(200)]) for _ in range(10)) / 200
    run = evolve.Integrator(MODEL, mesh, mass, fixed_step=1e-3)
    run.to(0.1)
    rodas = min(_timed(lambda: run.to(run.time + 0.1)) for _ in range(10)) / 100
    return euler, rodas


def _timed(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def peer(options, script, *arguments):
    """Return the answer of a peer's script, or None with a reason on standard error."""
    if not options.peer_python:
        print(f"peer skipped ({' '.join(arguments)} cells): give --peer-python", file=sys.stderr)
        return None
    done = subprocess.run([options.peer_python, "-c", script, *arguments], capture_output=True, text=True)
    if done.returncode:
        print(f"peer skipped: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def against_scipy(cells):
    """Return the rows of BDF on our grid."""
    mesh = grid.build(MODEL, cells, -7.0)
    same_grid = our_rate(mesh, 1e-12)[1]
    for wanted in (1e-5, 1e-6, 1e-7):
        mine, theirs = reach(our_rate, mesh, same_grid, wanted), reach(method_of_lines, mesh, same_grid, wanted)
        yield {"peer": "scipy BDF, same grid", "error": wanted, "ours_s": mine[0], "peer_s": theirs[0]}


def against_py_pde(options):
    """Return the rows of py-pde on its own uniform grids."""
    coarse, fine = (volterra.rate(MODEL, INITIAL, DURATION, n)[1][-1] for n in (400, 800))
    exact = fine + (fine - coarse) / 3
    for cells in (100, 200):
        if found := peer(options, PY_PDE, str(cells)):
            error = abs(found["rate"] - exact)
            own = next(
                seconds
                for count in (30, 40, 60, 80, 100, 140, 200, 400, 800)
                for seconds, rate in [our_rate(grid.build(MODEL, count, -7.0), 1e-7)]
                if abs(rate - exact) <= error
            )
            yield {"peer": f"py-pde, {cells} cells", "error": error, "ours_s": own, "peer_s": found["seconds"]}


def against_fplanck(options):
    """Return the rows of fplanck: the L1 error of the density of the linear equation without a threshold."""
    model, initial = Model(v_threshold=8.0), Gaussian(-1.0, 0.25, 8.0)
    mean, variance = -np.exp(-DURATION), 1 - 0.75 * np.exp(-2 * DURATION)

    def error(run):
        v, width = run.grid.v, run.grid.width
        exact = np.exp(-((v - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        return np.abs(run.mass - exact * width).sum()

    for cells in (100, 200, 400):
        both = [found for how in ("sparse", "dense") if (found := peer(options, FPLANCK, str(cells), how))]
        if not both:
            return
        found = min(both, key=lambda one: one["seconds"])
        own = next(
            seconds
            for count in (30, 50, 100, 200, 400, 800)
            for seconds, run in [ours(grid.build(model, count, -8.0), 1e-5, model, initial)]
            if error(run) <= found["error"]
        )
        name = f"fplanck, {cells} cells, no threshold"
        yield {"peer": name, "error": found["error"], "ours_s": own, "peer_s": found["seconds"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--peer-python", help="an interpreter that has py-pde and fplanck")
    options = parser.parse_args()
    our_rate(grid.build(MODEL, options.cells, -7.0), 1e-6)
    table = [*against_scipy(options.cells), *against_py_pde(options), *against_fplanck(options)]
    euler, rodas = step_seconds()
    print(f"{'peer':<32}{'error':>12}{'ours (ms)':>12}{'peer (ms)':>12}{'ratio':>8}")
    for row in table:
        row["ratio"] = row["peer_s"] / row["ours_s"]
        times = f"{row['ours_s'] * 1e3:>12.2f}{row['peer_s'] * 1e3:>12.1f}{row['ratio']:>8.0f}"
        print(f"{row['peer']:<32}{row['error']:>12.1e}{times}")
    print(f"implicit Euler step, 1,000 cells: {euler * 1e6:.1f} us; RODAS step (6 stages): {rodas * 1e6:.1f} us")
    print(json.dumps({"rows": table, "euler_step_us": euler * 1e6, "rodas_step_us": rodas * 1e6}))


if __name__ == "__main__":
    main()
