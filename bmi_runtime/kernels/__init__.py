"""The numba core: functions on arrays and scalars, shared by the online filters and the offline modules.

No classes, no input or output, no configuration. Every numba function of the project lives in this folder and is
made by :func:`bmi_runtime.kernels.jit.kernel`.
"""
