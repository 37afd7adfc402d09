"""`python -m faultline` is the command `faultline`."""

from faultline.cli import main

if __name__ == "__main__":
    main()
