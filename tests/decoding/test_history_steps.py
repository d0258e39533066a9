import numpy as np

from bmi_runtime.decoding.history_experts import settled_covariance


def test_doubling_is_the_recursion_of_a_kalman_filter():
    rng = np.random.default_rng(3)
    transition = 0.4 * rng.normal(size=(5, 5))
    tuning, noise = rng.normal(size=(7, 5)), np.diag(rng.uniform(0.5, 2.0, 7))
    drive = np.diag(rng.uniform(0.1, 1.0, 5))
    information = tuning.T @ np.linalg.inv(noise) @ tuning
    covariance = drive
    for _ in range(2**5 - 1):
        gain = covariance @ tuning.T @ np.linalg.inv(tuning @ covariance @ tuning.T + noise)
        covariance = transition @ (covariance - gain @ tuning @ covariance) @ transition.T + drive
    np.testing.assert_allclose(settled_covariance(transition, drive, information, 5), covariance, rtol=1e-10)
