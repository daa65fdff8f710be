"""How slow this machine is: the environment's word comes in, what time-outs of tests are multiplied by goes out."""

import os

VARIABLE = "BERTH_TEST_SLOWNESS"
SLOWNESS = int(os.environ.get(VARIABLE, "1"))
"""1 for a machine that people work on; an emulated one is ten times slower."""
