"""How long decoders live that teach themselves."""


def mean_life(lived, loop, rate, most_bins, seeds):
    """Return the mean life of decoders, some of which were still alive (the estimate of an exponential).

    `lived` takes a loop, a rate, a number of bins and a seed; it returns after how many bins a life ended, and whether.
    """
    lives = [lived(loop, rate, most_bins, seed) for seed in range(seeds)]
    return sum(bins for bins, _ in lives) / max(sum(ended for _, ended in lives), 1)
