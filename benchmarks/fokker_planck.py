"""Claim: at equal error at least 20 times fewer CPU seconds than the best peer; a 1,000-cell implicit step under 25 us.

usage: python benchmarks/fokker_planck.py [--cells 400] [--peer-python PYTHON]

The problem: b = 0.8, a Gaussian (mean -1, variance 0.25) at t = 0, N(2). Every solver is asked for the same error of
N(2) against the integral equation (py-pde: its own uniform grid) or against the exact solution on the same grid
(scipy's BDF, which gets our fluxes, a sparse Jacobian pattern and the loosest tolerance that reaches the error).
`--peer-python` names an interpreter that has py-pde. Prints a table and one JSON line.
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
from bmi_runtime.kernels import fokker_planck as kernels

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


def ours(mesh, tolerance):
    """Return (CPU seconds, N) of one run."""
    mass = masses(INITIAL, MODEL, mesh)
    best = np.inf
    for _ in range(7):
        run = evolve.Integrator(MODEL, mesh, mass, tolerance)
        start = time.process_time()
        run.to(DURATION)
        best = min(best, time.process_time() - start)
    return best, run.rate


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
    one, rates, work = mass[None, :].copy(), np.zeros(1), np.zeros((7, mesh.v.size))
    arguments = (one, 1e-3, mesh.reset, mesh.edges, np.array([0.1]), 1.0, work, rates)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--peer-python", help="an interpreter that has py-pde")
    options = parser.parse_args()
    mesh = grid.build(MODEL, options.cells, -7.0)
    ours(mesh, 1e-6)
    same_grid = ours(mesh, 1e-12)[1]
    table = []
    for wanted in (1e-5, 1e-6, 1e-7):
        mine, theirs = reach(ours, mesh, same_grid, wanted), reach(method_of_lines, mesh, same_grid, wanted)
        table.append({"peer": "scipy BDF, same grid", "error": wanted, "ours_s": mine[0], "peer_s": theirs[0]})
    coarse, fine = (volterra.rate(MODEL, INITIAL, DURATION, n)[1][-1] for n in (400, 800))
    exact = fine + (fine - coarse) / 3
    if options.peer_python:
        for cells in (100, 200):
            done = subprocess.run([options.peer_python, "-c", PY_PDE, str(cells)], capture_output=True, text=True)
            if done.returncode:
                print(f"py-pde skipped: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                break
            found = json.loads(done.stdout.splitlines()[-1])
            error = abs(found["rate"] - exact)
            own = next(
                (seconds, abs(rate - exact))
                for count in (30, 40, 60, 80, 100, 140, 200, 400, 800)
                for seconds, rate in [ours(grid.build(MODEL, count, -7.0), 1e-7)]
                if abs(rate - exact) <= error
            )
            row = {"peer": f"py-pde, {cells} cells", "error": error, "ours_s": own[0], "peer_s": found["seconds"]}
            table.append(row)
    else:
        print("py-pde skipped: give --peer-python", file=sys.stderr)
    print("fplanck skipped: it has no absorbing threshold with reset and no dependence on N(t)", file=sys.stderr)
    euler, rodas = step_seconds()
    print(f"{'peer':<24}{'error of N':>12}{'ours (ms)':>12}{'peer (ms)':>12}{'ratio':>8}")
    for row in table:
        row["ratio"] = row["peer_s"] / row["ours_s"]
        times = f"{row['ours_s'] * 1e3:>12.2f}{row['peer_s'] * 1e3:>12.1f}{row['ratio']:>8.0f}"
        print(f"{row['peer']:<24}{row['error']:>12.1e}{times}")
    print(f"implicit Euler step, 1,000 cells: {euler * 1e6:.1f} us; RODAS step (6 stages): {rodas * 1e6:.1f} us")
    print(json.dumps({"rows": table, "euler_step_us": euler * 1e6, "rodas_step_us": rodas * 1e6}))


if __name__ == "__main__":
    main()
