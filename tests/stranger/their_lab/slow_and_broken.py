"""A module that fails after a while: the library that it wants is not there."""

import time

time.sleep(0.4)
raise ImportError("libcuda.so.1 is not there")
