"""``python -m adqc``, and so ``accelerate launch -m adqc``: the command line."""

from adqc.cli import main

if __name__ == "__main__":
    main()
