"""``python -m gui``: the windows of a session that runs in another process."""

import sys

from gui.app import main

sys.exit(main())
