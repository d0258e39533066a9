"""The peers of ``benchmarks/networks.py``, run by the interpreters that have them: ``jax``, ``nest`` or ``brian`` (one
second, timed), ``nest-rates`` or ``brian-rates`` (rates in batches), and a folder.

Reads ``FOLDER/in.npz``; prints one JSON line. Needs nothing of this project.
"""

import json
import resource
import sys
import time

import numpy as np

TAU_S, REFRACTORY_S, THRESHOLD, RESET, SIGMA = 0.02, 0.002, -45.0, -60.0, 5.0
# Brian2 integrates the step in which the refractory time has passed: with 2 ms a lone neuron at E = -30 mV spikes every
# 15.8 ms, where NEST and ours (and the formula, on a grid of 0.1 ms) say 15.9; one step more makes the models equal.
BRIAN_REFRACTORY_S = REFRACTORY_S + 1e-4


def jax_solvers(folder: str) -> dict:
    import os

    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import jaxopt
    import optimistix

    data = np.load(f"{folder}/in.npz")
    weights, external = jnp.asarray(data["weights"]), float(data["external"])
    points, shares = (jnp.asarray(v) for v in np.polynomial.legendre.leggauss(24))

    def rate(inputs):
        low, high = (RESET - inputs) / SIGMA, (THRESHOLD - inputs) / SIGMA
        x = low[:, None] + 0.5 * (high - low)[:, None] * (1 + points)
        integral = 0.5 * (high - low) * ((jnp.exp(x * x) * jax.scipy.special.erfc(-x)) @ shares)
        return 1 / (REFRACTORY_S + TAU_S * jnp.sqrt(jnp.pi) * integral)

    def mapped(inputs, _=None):
        return external + weights @ rate(inputs)

    def gap(inputs, _=None):
        return inputs - mapped(inputs)

    start = jnp.full(weights.shape[0], external)
    tight = {"rtol": 1e-14, "atol": 1e-11}
    linear = {}
    try:
        import lineax

        linear["linear_solver"] = lineax.GMRES(rtol=1e-4, atol=1e-12)
    except ImportError:
        pass
    solvers = {
        "optimistix fixed-point iteration": lambda y: (
            optimistix.fixed_point(
                mapped, optimistix.FixedPointIteration(**tight), y, max_steps=2000, throw=False
            ).value
        ),
        "optimistix Newton (GMRES)": lambda y: (
            optimistix.root_find(gap, optimistix.Newton(**tight, **linear), y, max_steps=50, throw=False).value
        ),
        "jaxopt fixed-point iteration": lambda y: (
            jaxopt.FixedPointIteration(mapped, maxiter=2000, tol=1e-10).run(y).params
        ),
        "jaxopt Anderson": lambda y: (
            jaxopt.AndersonAcceleration(mapped, history_size=6, mixing_frequency=1, maxiter=500, tol=1e-10, ridge=1e-14)
            .run(y)
            .params
        ),
        "jaxopt Broyden": lambda y: jaxopt.Broyden(gap, maxiter=300, tol=1e-10).run(y).params,
    }
    result = {}
    for name, solver in solvers.items():
        try:
            compiled = jax.jit(solver)
            found = compiled(start).block_until_ready()
            seconds = np.inf
            for _ in range(3):
                began = time.process_time()
                found = compiled(start).block_until_ready()
                seconds = min(seconds, time.process_time() - began)
            result[name] = (seconds, float(jnp.abs(gap(found)).max()))
        except Exception as error:
            result[name] = (float("nan"), f"failed: {type(error).__name__}")
    return result


def nest_network(folder: str) -> dict:
    import nest

    data = np.load(f"{folder}/in.npz")
    jump, ratio = float(data["jump"]), float(data["ratio"])
    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.SetKernelStatus({"resolution": 0.1, "local_num_threads": 1, "rng_seed": 1})
    neuron = {
        "tau_m": 1e3 * TAU_S, "C_m": 1.0, "t_ref": 1e3 * REFRACTORY_S, "E_L": -60.0, "V_th": THRESHOLD,
        "V_reset": RESET, "I_e": 30.0 / (1e3 * TAU_S),
    }  # fmt: skip
    neurons = nest.Create("iaf_psc_delta", 10_000, params=neuron)
    neurons.V_m = RESET + (THRESHOLD - RESET) * np.random.default_rng(1).random(10_000)
    for group, count, weight in ((neurons[:8000], 800, jump), (neurons[8000:], 200, -ratio * jump)):
        rule = {"rule": "fixed_indegree", "indegree": count, "allow_multapses": False}
        nest.Connect(group, neurons, rule, {"weight": weight, "delay": 1.5})
    recorder = nest.Create("spike_recorder", params={"start": 100.0})
    nest.Connect(neurons, recorder)
    nest.Simulate(100.0)
    start = time.process_time()
    nest.Simulate(1000.0)
    seconds = time.process_time() - start
    counts = np.bincount(recorder.get("events")["senders"] - 1, minlength=10_000)
    return {"seconds": seconds, "rate_hz": counts.mean(), "rate_sd_hz": counts.std(), "version": nest.__version__}


def brian_group(b, size: int):
    """Return Brian2's neurons, and the order of stages in which they do what NEST's and ours do.

    Jumps arrive before the threshold is looked at (spikes then wait one step more to be sent, hence a delay of 1.4 ms),
    and those that arrive in the refractory time are lost: setting the voltage back, neuron by neuron, costs less than
    asking at every synapse.
    """
    group = b.NeuronGroup(
        size, "dv/dt = (e0 - v) / tau : 1 (unless refractory)", threshold="v >= -45", reset="v = -60",
        refractory=BRIAN_REFRACTORY_S * b.second, method="exact", namespace={"e0": -30.0, "tau": TAU_S * b.second},
    )  # fmt: skip
    group.v = RESET + (THRESHOLD - RESET) * np.random.default_rng(1).random(size)
    held = group.run_regularly("v = v * int(not_refractory) - 60 * int(not not_refractory)", when="before_thresholds")
    return group, held, ["start", "groups", "synapses", "thresholds", "resets", "end"]


def brian_network(folder: str) -> dict:
    import brian2 as b

    data = np.load(f"{folder}/in.npz")
    jump, ratio = float(data["jump"]), float(data["ratio"])
    b.set_device("cpp_standalone", build_on_run=False)
    b.prefs.devices.cpp_standalone.openmp_threads = 0
    b.defaultclock.dt = 0.1 * b.ms
    group, held, stages = brian_group(b, 10_000)
    excitatory, inhibitory = group[:8000], group[8000:]
    order = np.argsort(data["sources"], kind="stable")  # synapses of a source side by side: four times as fast
    data = {"sources": data["sources"][order], "targets": data["targets"][order]}
    is_first = data["sources"] < 8000
    synapses = []
    for part, chosen, weight, offset in ((excitatory, is_first, jump, 0), (inhibitory, ~is_first, -ratio * jump, 8000)):
        one = b.Synapses(part, group, on_pre=f"v_post += {weight}", delay=1.4 * b.ms)
        one.connect(i=data["sources"][chosen] - offset, j=data["targets"][chosen])
        synapses.append(one)
    spikes = b.SpikeMonitor(group, record=False)
    network = b.Network(group, held, *synapses, spikes)
    network.schedule = stages
    network.run(1.0 * b.second)
    b.device.build(directory=f"{folder}/brian", compile=True, run=False, with_output=False)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    began = time.perf_counter()
    b.device.run(directory=f"{folder}/brian", with_output=False, run_args=[])
    wall = time.perf_counter() - began
    busy = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    loop = b.device._last_run_time
    counts = np.asarray(spikes.count[:])
    result = {"seconds": loop * min(1.0, busy / wall), "loop_wall_seconds": loop, "process_cpu_seconds": busy}
    return result | {"rate_hz": counts.mean(), "rate_sd_hz": counts.std(), "version": b.__version__}


def nest_rates(folder: str) -> dict:
    import nest

    data = np.load(f"{folder}/in.npz")
    n, batches, batch_s = int(data["size"]), int(data["batches"]), float(data["batch_s"])
    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.SetKernelStatus({"resolution": 0.1, "local_num_threads": 1, "rng_seed": 1})
    neuron = {
        "tau_m": 1e3 * TAU_S, "C_m": 1.0, "t_ref": 1e3 * REFRACTORY_S, "E_L": -60.0, "V_th": THRESHOLD,
        "V_reset": RESET, "I_e": 30.0 / (1e3 * TAU_S),
    }  # fmt: skip
    neurons = nest.Create("iaf_psc_delta", n, params=neuron)
    neurons.V_m = RESET + (THRESHOLD - RESET) * np.random.default_rng(1).random(n)
    weights = np.where(data["sources"] < 0.8 * n, data["jump"], -data["ratio"] * data["jump"])
    alike = np.full(weights.size, 1.5)
    nest.Connect(
        data["sources"] + 1, data["targets"] + 1, "one_to_one", {"weight": weights, "delay": alike}
    )  # fmt: skip
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Simulate(500.0)
    rates = []
    for _ in range(batches):
        before = recorder.n_events
        nest.Simulate(1e3 * batch_s)
        rates.append((recorder.n_events - before) / (n * batch_s))
    return {"rates_hz": rates, "version": nest.__version__}


def brian_rates(folder: str) -> dict:
    import brian2 as b

    data = np.load(f"{folder}/in.npz")
    n, batches, batch_s = int(data["size"]), int(data["batches"]), float(data["batch_s"])
    b.prefs.codegen.target = "numpy"
    b.defaultclock.dt = 0.1 * b.ms
    group, held, stages = brian_group(b, n)
    synapses = b.Synapses(group, group, "w : 1", on_pre="v_post += w", delay=1.4 * b.ms)
    synapses.connect(i=data["sources"], j=data["targets"])
    synapses.w = np.where(data["sources"] < 0.8 * n, data["jump"], -data["ratio"] * data["jump"])
    spikes = b.SpikeMonitor(group, record=False)
    network = b.Network(group, held, synapses, spikes)
    network.schedule = stages
    network.run(0.5 * b.second)
    rates = []
    for _ in range(batches):
        before = spikes.num_spikes
        network.run(batch_s * b.second)
        rates.append((spikes.num_spikes - before) / (n * batch_s))
    return {"rates_hz": rates, "version": b.__version__}


if __name__ == "__main__":
    parts = {"jax": jax_solvers, "nest": nest_network, "brian": brian_network}
    run = (parts | {"nest-rates": nest_rates, "brian-rates": brian_rates})[sys.argv[1]]
    print(json.dumps(run(sys.argv[2]), default=float))
