"""Options that the commands of ``bmi glm`` share, and what they mean: data, models, workers."""

import click


def model_options(function):
    """Add the options of a model; the function receives them by their names."""
    options = [
        click.option("--history-bins", type=int, default=20, show_default=True, help="Past bins that act on a rate."),
        click.option("--basis", default="raw", show_default=True, help="raw, raised-cosine:N, b-spline:N, ..."),
        click.option(
            "--covariates",
            default="auto",
            show_default="the table covariates",
            help="all, none, or a list such as velocity or velocity:0.",
        ),
        click.option(
            "--leads",
            default="0",
            show_default=True,
            help="Bins covariates run ahead, e.g. 0,1,2 or -3:3; with semicolons one list a covariate: 0:5;1:5.",
        ),
        click.option(
            "--reach",
            default=None,
            metavar="BLOCK=BINS,...",
            help="Shorter histories by block: own=20,other=10, or areas as TARGET-SOURCE, e.g. M1-PMv=10.",
        ),
        click.option("--coupling", default="all", show_default=True, help="Whose past acts: all, own or none."),
        click.option("--link", default="exponential", show_default=True, help="exponential or softplus."),
        click.option("--ridge", type=float, default=0.0, show_default=True, help="Penalty per bin on squared weights."),
        click.option("--smooth", type=float, default=0.0, show_default=True, help="Penalty on filters' roughness."),
        click.option("--lasso", type=float, default=0.0, show_default=True, help="Penalty on absolute weights."),
        click.option(
            "--group-lasso", type=float, default=0.0, show_default=True, help="Penalty that drops whole pairs."
        ),
        click.option("--jobs", type=int, default=1, show_default=True, help="Processes sharing the units (joblib)."),
        click.option("--cluster", default=None, metavar="ADDRESS|FILE", help="Dask cluster to share the units on."),
        click.option("--refractory-bins", type=int, default=0, show_default=True, help="Lags where a rate is zero."),
        click.option("--threads", type=int, default=1, show_default=True, help="Threads sharing the work."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def parse_leads(text: str) -> tuple:
    """Return leads from ``0,1,2`` or an inclusive range ``-3:3``; one tuple a covariate from ``0:5;1:5``."""
    from bmi_runtime.errors import BadInput

    if ";" in text:
        return tuple(parse_leads(part.strip()) for part in text.split(";"))
    try:
        if ":" in text:
            low, high = (int(part) for part in text.split(":"))
            if low > high:
                raise ValueError
            return tuple(range(low, high + 1))
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"leads '{text}' must be whole numbers of bins, such as 0,1,2 or -3:3") from None


def _reach(text: str | None, history_bins: int, areas, units: int):
    """Return how many past bins act on whom, (targets, sources), from ``own=20,other=10,M1-PMv=5``, or None."""
    import numpy as np

    from bmi_runtime.errors import BadInput

    if text is None:
        return None
    reach, own = np.full((units, units), history_bins), np.eye(units, dtype=bool)
    labels = np.asarray(areas if areas else ["all"] * units)
    blocks = {f"{target}-{source}": (target, source) for target in set(labels) for source in set(labels)}
    for part in text.split(","):
        name, _, bins = part.strip().partition("=")
        if not bins.isdigit() or int(bins) > history_bins:
            raise BadInput(f"--reach {part}: give BLOCK=BINS with 0 to {history_bins} bins (--history-bins)")
        if name in ("own", "other"):
            chosen = own if name == "own" else ~own
        elif name in blocks:
            chosen = (labels[:, None] == blocks[name][0]) & (labels == blocks[name][1]) & ~own
        else:
            raise BadInput(f"--reach names no block '{name}'; choose from own, other, {', '.join(sorted(blocks))}")
        reach[chosen] = int(bins)
    return reach


def load(path):
    """Return data of an ``.npz``, or of any recording that ``bmi decode`` reads."""
    import pathlib

    from bmi_runtime.analysis.glm.files import Data, load_data

    if pathlib.Path(path).suffix == ".npz" or not pathlib.Path(path).exists():
        return load_data(path)
    from bmi_runtime.sources.datafile import load_recording

    found = load_recording(path)
    tables = {"velocity": found.velocity} | ({} if found.position is None else {"position": found.position})
    return Data(found.counts, found.bin_s, tables)


def model_of(options, loaded, **more):
    """Return the Poisson model that the options ask for, not fitted."""
    from bmi_runtime.analysis.glm import PoissonGLM

    more["reach"] = _reach(options["reach"], options["history_bins"], loaded.areas, loaded.counts.shape[-1])
    names = ["history_bins", "basis", "coupling", "link", "ridge", "smooth", "lasso", "group_lasso"]
    names += ["refractory_bins", "threads"]
    chosen = {name: options[name] for name in names} | {"jobs": jobs_of(options)}
    return PoissonGLM(**chosen, leads=parse_leads(options["leads"]), **more)


def family_model_of(family, options, loaded):
    """Return the model of another family that the options ask for; what it does not have is refused."""
    from bmi_runtime.analysis.glm.families import family_of
    from bmi_runtime.analysis.glm.family_model import FamilyGLM
    from bmi_runtime.errors import BadInput

    family_of(family)
    absent = {"link": "exponential", "smooth": 0.0, "lasso": 0.0, "group_lasso": 0.0, "refractory_bins": 0}
    for name, usual in absent.items():
        if options[name] != usual:
            raise BadInput(f"--{name.replace('_', '-')} goes with the poisson family only, not with {family}")
    chosen = {name: options[name] for name in ("history_bins", "basis", "coupling", "ridge")}
    reach = _reach(options["reach"], options["history_bins"], loaded.areas, loaded.counts.shape[-1])
    return FamilyGLM(family, **chosen, leads=parse_leads(options["leads"]), reach=reach)


def jobs_of(options) -> int:
    """Return how many processes share the work: on a cluster, all of its, unless a number was asked for."""
    return -1 if options["cluster"] and options["jobs"] == 1 else options["jobs"]


def workers_of(options):
    """Return the context in which joblib shares work as the options say."""
    from bmi_runtime.cluster import joblib_on

    return joblib_on(options["cluster"])
