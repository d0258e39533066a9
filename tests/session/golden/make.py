"""Runs the seeded sessions whose numbers are held fixed, and returns the digests of what they decoded and learned.

``python tests/session/golden/make.py`` prints them; ``digests.json`` beside it was made before the brain state could
have any other size than two axes, and is never made again: a change of those numbers is a change of every session.
"""

import hashlib
import json

from bmi_runtime import config as configuration
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.launch import run

SEEDS = range(1, 11)
WORLDS = {"default": None, "hard_world": "hard_world"}
DURATION_S = 25.0


def digests(world: str, seed: int) -> dict[str, str]:
    """Return digests of the decoded state, the whole output and the final weights of one session of `DURATION_S`."""
    overrides = [f"session.seed={seed}", "recording.enabled=false", "telemetry.enabled=false"]
    overrides.append("adapter.large_steps=newton")  # as it was: the units of the hard world burst
    config = configuration.load(WORLDS[world], overrides)
    loop = assemble(config, "max")
    decoded = hashlib.blake2b(digest_size=16)
    loop.on_bin = lambda loop: decoded.update(loop.session.record.output.decoded.tobytes())
    run(loop, round(DURATION_S / config.bin_s))
    weights = hashlib.blake2b(loop.session.model.weights.tobytes(), digest_size=16)
    return {"decoded": decoded.hexdigest(), "output": loop.tally.digest.hexdigest(), "weights": weights.hexdigest()}


if __name__ == "__main__":
    print(json.dumps({world: {seed: digests(world, seed) for seed in SEEDS} for world in WORLDS}, indent=1))
