"""The entry point of `ray job submit`: `python -m deploy.train [FILE.yaml] [KEY=VALUE]...` is `pope train`."""

import sys

from deploy.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train"]
    main()
