"""Options that the commands of ``bmi fokker-planck`` share, and what their texts mean."""

import functools

import click

from bmi_runtime.cli.common import PICTURE, say
from bmi_runtime.errors import BadInput

INITIAL = click.option(
    "--initial", default="gaussian:0,0.25", show_default=True, help="gaussian:MEAN,VARIANCE, restricted to v < V_F."
)
DRAWN = click.option("--picture", type=PICTURE, help="Draw the result into this .png (.pdf, .svg).")

MODEL_OPTIONS = {
    "b": click.option("--b", type=float, required=True, help="Connectivity: positive excitatory, negative inhibitory."),
    "a0": click.option("--a0", type=float, default=1.0, show_default=True, help="Diffusion at rest."),
    "a1": click.option(
        "--a1", type=float, default=0.0, show_default=True, help="Growth of the diffusion with the rate."
    ),
    "v_reset": click.option("--v-reset", type=float, default=1.0, show_default=True, help="Reset V_R."),
    "v_threshold": click.option("--v-threshold", type=float, default=2.0, show_default=True, help="Threshold V_F."),
    "refractory": click.option("--refractory", type=float, default=0.0, metavar="TAU", help="Mean refractory time."),
    "threshold_eps": click.option(
        "--threshold-eps", type=float, default=0.0, metavar="EPS", help="Random threshold: mean time to fire above V_F."
    ),
    "delay": click.option("--delay", type=float, default=0.0, metavar="D", help="Transmission delay."),
    "current": click.option(
        "--current", default="0", metavar="I", help="A number, or a table t:I,t:I,... joined by straight lines."
    ),
}


def model_options(function=None, *, fixed=()):
    """Add the options of the equation, but for those that are `fixed`; the function receives a Model as `model`."""
    if function is None:
        return functools.partial(model_options, fixed=fixed)

    @functools.wraps(function)
    def wrapped(**given):
        from bmi_runtime.analysis.fokker_planck.model import Model

        fields = {name: given.pop(name) for name in MODEL_OPTIONS if name in given}
        fields["current"] = parse_current(fields["current"])
        return function(model=Model(**fields), **given)

    for name, option in reversed(MODEL_OPTIONS.items()):
        if name not in fixed:
            wrapped = option(wrapped)
    return wrapped


def keep(out, as_json, **arrays) -> None:
    """Write arrays into the ``.npz`` file `out`, if one was asked for."""
    from bmi_runtime.outputs import npz_path, write_npz

    if out:
        write_npz(npz_path(out), compressed=True, **arrays)
        say(f"wrote {out}", as_json)


def draw(make, picture, as_json) -> None:
    """Write the figure that `make` returns into the file `picture`, if one was asked for."""
    if picture:
        make().savefig(picture)
        say(f"wrote {picture}", as_json)


def parse_current(text: str):
    """Return a constant or (times, values) from ``0.5`` or ``0:0,10:0.5``."""
    try:
        if ":" not in text:
            return float(text)
        pairs = [tuple(float(x) for x in part.split(":")) for part in text.split(",")]
        return tuple(t for t, _ in pairs), tuple(i for _, i in pairs)
    except ValueError:
        raise BadInput(f"--current {text}: give a number, or times and values such as 0:0,10:0.5") from None


def parse_initial(text: str, model):
    """Return the initial density named ``gaussian:MEAN,VARIANCE``."""
    from bmi_runtime.analysis.fokker_planck.initial import Gaussian

    kind, _, numbers = text.partition(":")
    try:
        if kind == "gaussian":
            mean, variance = (float(x) for x in numbers.split(","))
            taper = 1e-3 * (model.v_threshold - model.v_reset) if model.a1 > 0 else 0.0
            return Gaussian(mean, variance, model.v_threshold, taper)
    except ValueError:
        raise BadInput(f"--initial {text}: gaussian takes a mean and a variance, such as gaussian:0,0.25") from None
    raise BadInput(f"--initial {text}: the initial density is gaussian:MEAN,VARIANCE")


def parse_range(text: str, name: str):
    """Return the values of ``0.5``, ``0,0.1,0.2`` or ``START:STOP:COUNT``."""
    import numpy as np

    try:
        if ":" in text:
            start, stop, count = text.split(":")
            return np.linspace(_finite(start), _finite(stop), int(count))
        return np.array([_finite(word) for word in text.split(",")])
    except ValueError:
        raise BadInput(f"--{name} {text}: give numbers such as 0,0.1,0.2 or START:STOP:COUNT") from None


def _finite(word: str) -> float:
    value = float(word)
    if not -float("inf") < value < float("inf"):
        raise ValueError(word)
    return value


def parse_function(text: str, name: str):
    """Return a function of the weight w: a constant from ``-8``, or straight lines through ``w:value,w:value``."""
    import numpy as np

    try:
        if ":" not in text:
            value = float(text)
            return lambda w: value + 0.0 * np.asarray(w, float)
        at, values = np.array([[float(x) for x in part.split(":")] for part in text.split(",")]).T
    except ValueError:
        raise BadInput(f"--{name} {text}: give a number, or weights and values such as -2:1,-1:0.5,0:1") from None
    if np.any(np.diff(at) <= 0):
        raise BadInput(f"--{name} {text}: the weights of the table must increase")
    return lambda w: np.interp(w, at, values)


def parse_decay(text: str):
    """Return the function ``exp(-x / scale) / scale`` from ``exponential:SCALE``."""
    import numpy as np

    kind, _, number = text.partition(":")
    try:
        scale = float(number or "1")
    except ValueError:
        scale = 0.0
    if kind != "exponential" or not 0 < scale < float("inf"):
        raise BadInput(f"--initial {text}: the initial density is exponential:SCALE with a positive scale")
    return lambda x: np.exp(-np.asarray(x) / scale) / scale


def parse_activation(text: str, name: str):
    """Return a function from ``logistic:STEEPNESS,MIDDLE``, ``tanh:STEEPNESS,MIDDLE`` or straight lines ``x:y,x:y``."""
    import numpy as np

    kind, _, numbers = text.partition(":")
    if kind not in ("logistic", "tanh"):
        return parse_function(text, name)
    try:
        steepness, middle = (float(part) for part in numbers.split(","))
    except ValueError:
        raise BadInput(f"--{name} {text}: {kind} takes a steepness and a middle, such as {kind}:4,1") from None
    if kind == "logistic":
        return lambda x: 0.5 * (1.0 + np.tanh(0.5 * steepness * (np.asarray(x) - middle)))
    return lambda x: np.tanh(steepness * (np.asarray(x) - middle))
