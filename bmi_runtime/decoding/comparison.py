"""Decoders side by side on recordings: blocked cross-validation without leakage, intervals by a paired bootstrap.

The recording is cut into contiguous blocks. Each block is decoded by decoders that were fitted to the others alone,
hyper-parameters included; bins within :data:`PURGE_S` of the block are left out of the fit, because kinematics and
count histories reach across its edges. Decoders start the block knowing nothing of it. All decoders see the same bins.

The interval is a bootstrap over segments of ten seconds, the same draws for all decoders (Efron, Tibshirani 1993): it
says how sure the ranking is on this recording, given these fits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bmi_runtime.decoding.batch_decoder import Training, columns_of, decode_all
from bmi_runtime.decoding.fitting import fit_decoder, is_file
from bmi_runtime.decoding.joined import JoinedDecoder
from bmi_runtime.decoding.network_mixture import NetworkMixture
from bmi_runtime.errors import BadInput, BmiError, first_line

PURGE_S = 1.0  # at each edge of a block, that nobody learns from
SEGMENT_S = 10.0  # that the bootstrap draws: errors within it are not independent
DRAWS = 2000  # of the bootstrap
LEVEL = 0.95  # of its intervals
FEWEST_TRAINING_BINS = 200
SHARING = ("joined", "recurrent")
CANNOT_BE_FITTED = (np.linalg.LinAlgError, ArithmeticError, ValueError, IndexError, BmiError)


def training_of(recording: Any) -> Training:
    """Return a recording as decoders are fitted to it."""
    return Training(
        recording.counts,
        recording.kinematics,
        recording.trial_start,
        recording.restart,
        float(recording.bin_s),
        recording.targets,
    )


def blocks(data: Training, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (training rows, test rows) of each fold: contiguous tests, training purged around them.

    Raises
    ------
    BadInput
        When a fold would leave too little to learn from.
    """
    bins, purge = len(data.counts), round(PURGE_S / data.bin_s)
    if folds < 2:
        raise BadInput(f"{folds} folds cannot be cross-validated; give 2 or more")
    edges = np.linspace(0, bins, folds + 1).round().astype(int)
    pairs = []
    index = np.arange(bins)
    for first, stop in itertools.pairwise(edges):
        train = index[(index < first - purge) | (index >= stop + purge)]
        if len(train) < FEWEST_TRAINING_BINS or stop - first < 2:
            raise BadInput(
                f"{folds} folds of {bins} bins leave {len(train)} to learn from after {PURGE_S:g} s are purged at each "
                f"edge; at least {FEWEST_TRAINING_BINS} are needed"
            )
        pairs.append((train, index[first:stop]))
    return pairs


def held_out_states(
    data: Training,
    names: Sequence[str],
    folds: int,
    advance: Callable[[], None] = lambda: None,
    about: str = "the recording",
    failed: dict[str, str] | None = None,
    rests: dict[int, list[int]] | None = None,
) -> dict[str, np.ndarray]:
    """Return what each decoder says of every bin when the bin is held out, shape (bins, 2 axes).

    Nothing is said of an axis in a fold in which it rests in all bins that are learned from. Decoders learn positions
    about their median in the bins that they learn from, so that the origin of the file's coordinates costs them no
    digits, and short gaps bridged; they are scored on recorded bins alone.

    Parameters
    ----------
    data : Training
    names : sequence of str
    folds : int
    advance : callable
        Called after every fit.
    about : str
        The recording's name.
    rests : dict, optional
        Where the folds are noted, by the number of the axis, in which it rests in all that is learned from.
    failed : dict, optional
        Where a decoder that cannot be fitted is noted, with its reason; it is then left out of the result.

    Raises
    ------
    BadInput
        When a fold leaves nothing to learn from, or a decoder cannot be fitted and `failed` is not given.
    """
    from bmi_runtime.sources.open_loop import check_decodable, resting_axes

    states = {name: np.full(data.kinematics.shape, np.nan) for name in names}
    noted = {} if failed is None else failed
    for fold, (train, test) in enumerate(blocks(data, folds), 1):
        learned, unseen = data.part(train).bridged(), data.part(test)
        part = f" that fold {fold} of {folds} learns from"
        every, axes = np.arange(data.n_axes), _moving(resting_axes(learned.velocity), fold, rests)
        check_decodable(about, learned.counts, learned.velocity[:, axes], part)
        fits = {len(a): Fits(learned.of_axes(a), names, unseen.of_axes(a)) for a in (every, axes)}
        for name in names:
            advance()
            if name in noted:
                continue
            of = every if is_file(name) else axes  # a decoder from a file has the axes that it has
            try:
                found = np.full((len(test), data.kinematics.shape[1]), np.nan)
                found[:, columns_of(of, data.n_axes)] = fits[len(of)].held_out(name)
                columns = columns_of(axes, data.n_axes)  # all decoders are scored on the same
                states[name][np.ix_(test, columns)] = found[:, columns]
            except CANNOT_BE_FITTED as error:
                noted[name] = f"cannot be fitted to the bins{part} ({first_line(error)})"
                if failed is None:
                    raise BadInput(f"{about}: '{name}' {noted[name]}") from None
    return {name: found for name, found in states.items() if name not in noted}


def _moving(still: np.ndarray, fold: int, rests: dict[int, list[int]] | None) -> np.ndarray:
    """Return the axes to learn: those that do not rest; all where all do, which is refused. Note those that do."""
    for axis in np.flatnonzero(still):
        if rests is not None:
            rests.setdefault(int(axis), []).append(fold)
    return np.flatnonzero(~still) if not still.all() else np.arange(len(still))


class Fits:
    """The decoders of one fold; networks that two of them have in common are trained once.

    Parameters
    ----------
    learned : Training
    names : sequence of str
        All that will be asked for.
    unseen : Training
        What is held out.
    """

    def __init__(self, learned: Training, names: Sequence[str], unseen: Training):
        from bmi_runtime.sources.open_loop import centre_of

        self.origin, self.unseen = centre_of(learned.position), unseen
        self.training, self._joined = learned.about(self.origin), "joined" in names
        self._networks: NetworkMixture | None = None

    def held_out(self, name: str) -> np.ndarray:
        """Return what the decoder `name` says of what is held out, shape (bins, 2 axes)."""
        return decode_all(self.of(name), self.unseen) + np.r_[self.origin, 0.0 * self.origin]

    def of(self, name: str) -> Any:
        """Return the decoder `name`: a recurrent ensemble is to the bit the one in the joined decoder."""
        if not self._joined or name not in SHARING:
            return fit_decoder(name, self.training)
        if self._networks is None:
            self._networks = NetworkMixture.fit(self.training)
        if name == "joined":
            return JoinedDecoder.of_networks(self.training, self._networks)
        return self._networks.recurrent


def segment_sums(true: np.ndarray, decoded: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Return, per segment and dimension, bins, sums of squared error, of the truth and of its square.

    Shape (segments, 4, dims). A bin counts where its truth is known in all dimensions, in those that were decoded.
    """
    known = np.isfinite(true).all(axis=1, keepdims=True) & np.isfinite(decoded)
    parts = (np.ones_like(true), (true - decoded) ** 2, true, true**2)
    sums = np.zeros((segment.max() + 1, 4, true.shape[1]))
    for which, part in enumerate(parts):
        np.add.at(sums[:, which], segment, np.where(known, part, 0.0))
    return sums


def r2_of(sums: np.ndarray) -> np.ndarray:
    """Return R2, mean of the dimensions, of summed segments, shape (..., 4, dims)."""
    number, error, total, square = np.moveaxis(sums, -2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (1.0 - error / (square - total**2 / number)).mean(axis=-1)


def compare_decoders(
    recording: Any,
    names: Sequence[str],
    folds: int = 5,
    seed: int = 1,
    advance: Callable[[], None] = lambda: None,
    rests: dict[int, list[int]] | None = None,
) -> list[dict[str, Any]]:
    """Return one row per decoder, best held-out velocity first.

    An axis that rests in all that a fold learns from is not decoded there, and scored in the other folds.

    Parameters
    ----------
    recording : OpenLoopRecording
    names : sequence of str
        Rows of the table of fitted decoders, or plugins.
    folds : int
    seed : int
        Of the bootstrap.
    advance : callable
        Called after every fit.
    rests : dict, optional
        See `held_out_states`.

    Returns
    -------
    list of dict
        ``decoder``, ``r2_velocity`` and ``r2_position`` (per dimension; None where it is not decoded anywhere),
        ``rmse_velocity``, ``r2`` (mean of the velocities), ``interval``, ``behind_best`` and its interval. A
        decoder that cannot be fitted stands last, with `r2` None and the reason as ``failed``.

    Raises
    ------
    BadInput
        When none of them can be fitted.
    """
    data = training_of(recording)
    failed: dict[str, str] = {}
    states = held_out_states(data, names, folds, advance, recording.name, failed, rests)
    if not states:
        raise BadInput(f"{recording.name}: " + "; ".join(f"'{name}' {why}" for name, why in failed.items()))
    names = list(states)
    true = data.kinematics
    segment = (np.arange(len(true)) * data.bin_s // SEGMENT_S).astype(int)
    draws = np.random.default_rng(seed).multinomial(
        segment.max() + 1, np.full(segment.max() + 1, 1.0 / (segment.max() + 1)), size=DRAWS
    )
    n = data.n_axes
    sums = {name: segment_sums(true[:, n:], states[name][:, n:], segment) for name in names}
    scored = _scored(sums[names[0]].sum(axis=0))
    sums = {name: found[:, :, scored] for name, found in sums.items()}
    scores = {name: r2_of(np.einsum("ds,sqk->dqk", draws, sums[name])) for name in names}
    drawn = {name: np.where(np.isfinite(score), score, np.nan) for name, score in scores.items()}  # of still segments
    order = sorted(names, key=lambda name: -float(r2_of(sums[name].sum(axis=0))))
    rows = [_row(name, order[0], true, states[name], sums, drawn, n + scored) for name in order]
    return rows + [{"decoder": name, "r2": None, "failed": why} for name, why in failed.items()]


def _scored(total: np.ndarray) -> np.ndarray:
    """Return the axes of which some movement was decoded, by the sums over all segments, shape (4, axes)."""
    number, _, first, square = total
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.flatnonzero((number > 1) & (square - first**2 / number > 0))
    return found if len(found) else np.arange(total.shape[1])


def _row(name, best, true, states, sums, drawn, scored) -> dict[str, Any]:
    from bmi_runtime.analysis.metrics import rmse

    value, top = (float(r2_of(sums[which].sum(axis=0))) for which in (name, best))
    tails = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
    n = true.shape[1] // 2
    position = _per_axis(true[:, :n], states[:, :n])
    return {
        "decoder": name,
        "r2": value,
        "interval": np.nanpercentile(drawn[name], tails).tolist(),
        "behind_best": top - value,
        "behind_best_interval": np.nanpercentile(drawn[best] - drawn[name], tails).tolist(),
        "r2_velocity": _per_axis(true[:, n:], states[:, n:]),
        "r2_position": position if any(value is not None for value in position) else None,
        "rmse_velocity": rmse(true[:, scored], states[:, scored]),
    }


def _per_axis(true: np.ndarray, decoded: np.ndarray) -> list[float | None]:
    """Return R2 of each axis, where the truth is known in all and the axis was decoded; None for one that never was."""
    from bmi_runtime.analysis.metrics import r2

    known = np.isfinite(true).all(axis=1)
    found = (float(r2(true[known][:, [axis]], decoded[known][:, [axis]])[0]) for axis in range(true.shape[1]))
    return [value if np.isfinite(value) else None for value in found]
